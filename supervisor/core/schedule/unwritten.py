"""PURE: what a ledger does not say yet: how a run ended whose process is gone, and slots that no runner could take.

The next runner writes both; until then `history` shows them, computed by the same functions.
"""

from __future__ import annotations

# A cause of core.lifecycle to what became of the run that was going.
_ENDS = {"stuck": "timed_out", "hung": "killed", "oom": "killed", "memory_hard": "killed", "planned": "interrupted"}


def ended(state: str, cause: str | None, reason: str | None) -> tuple[str, str]:
    """Return state and error of a run that was going when its process ended; `state` is what it was last said to be."""
    said = _ENDS.get(cause) if cause else None
    error = reason if reason is not None else "the supervisor and the process ended together"
    return said or ("interrupted" if state == "interrupted" else "lost"), error
