"""PURE: what a ledger does not say yet: how a run ended whose process is gone, and slots that no runner could take.

The next runner writes both; until then `history` shows them, computed by the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor.core.words import epoch

Facts = Mapping[str, Any]
_TICK = 0.0005  # half the resolution of slots
PREPARING = "preparing"  # the phase in which a run has its record and waits for its slot
# A cause of core.lifecycle to what became of the run that was going.
_ENDS = {
    "timed_out": "timed_out",
    "stuck": "killed",
    "hung": "killed",
    "oom": "killed",
    "memory_hard": "killed",
    "planned": "interrupted",
}


def ended(state: str, cause: str | None, reason: str | None, *, overtaken: bool = False) -> tuple[str, str]:
    """Return state and error of a run that was going when its process ended; `state` is what it was last said to be.

    `overtaken`: it was to make room for the next slot, and did not.
    """
    said = _ENDS.get(cause) if cause else None
    error = reason if reason is not None else "the supervisor and the process ended together"
    if overtaken and said == "timed_out":
        said = "killed"
    return said or ("interrupted" if state == "interrupted" else "lost"), error


def never_began(record: Facts, last: Facts) -> bool:
    """Whether its process, which ended as `last` says, had only prepared this run: the function was not called."""
    slot, ran = epoch(record.get("slot")), epoch(last.get("ran"))
    prepared = last.get("phase") == PREPARING and last.get("subject") == record.get("slot")
    began = slot is None or (ran is not None and abs(ran - slot) < _TICK)
    return prepared and not began and record.get("kind") == "schedule" and record.get("attempt") == 1


def as_it_is(record: Facts, child: Facts | None, writer: object) -> Facts:
    """Return a record as it stands now. `writer`: the pid that wrote last; `child`: the status, None: nobody answers.

    A run that the file has as going is going when the process that wrote it is there, and says nothing else.
    """
    if record.get("finished") is not None or record.get("state") not in ("running", "interrupted"):
        return record
    if child is not None and child.get("pid") is not None and child["pid"] == writer:
        return _told(record, child)
    last = child.get("last_exit") if child is not None else None
    if isinstance(last, Mapping) and never_began(record, last):
        return {key: record.get(key) for key in ("task", "slot", "kind")} | {"state": "missed", "reason": "down"}
    if not isinstance(last, Mapping) or (epoch(last.get("time")) or 0.0) < (epoch(record.get("started")) or 0.0):
        last = {}  # it is of another process, or none is known
    overtaken = record.get("reason") == "overlap"
    state, error = ended(str(record["state"]), last.get("cause"), last.get("reason"), overtaken=overtaken)
    return {**record, "state": state, "error": error} | ({"finished": last["time"]} if last else {})


def is_taken(child: Facts | None) -> bool:
    """Whether a runner is there that writes of each slot itself."""
    return child is not None and bool(child.get("ready")) and bool(child.get("enabled", True))


def _told(record: Facts, child: Facts) -> Facts:
    """Its end may be told already, and not be in the file yet."""
    last = child.get("last_run")
    same = isinstance(last, Mapping) and all(last.get(key) == record.get(key) for key in ("slot", "kind", "attempt"))
    return {**record, **last} if same and isinstance(last, Mapping) else record
