"""RUNS IN A CHILD: a run of a slot that was missed: the slot leaves the record of the missed and gets one of its own.

Both happen in one transaction, before the run starts: whatever kills the process, the slot has one record.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import Row
from supervisor.core.schedule.carve import carved, is_slot
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Trigger

KIND = "backfill"


def claim(ledger: Ledger, trigger: Trigger, slot: float, id: Any) -> str | None:
    """Make the slot's own record, of a run that starts. Returns why the slot cannot run, or None."""
    if not is_slot(trigger, slot):
        return "the schedule has no such slot"
    found = ledger.covering(slot, slot)
    if [(row["kind"], row["state"]) for row in found] != [("schedule", "missed")]:
        return "this slot was not missed"
    (old,) = found
    whole = Range(old["slot"], old["last"] or old["slot"], old["slots"], old["state"], old["reason"])
    own: Row = {"slot": slot, "kind": KIND, "state": "running", "attempt": 1, "started": time.time(), "id": id}
    if not ledger.replace(old, [*(_row(part, old) for part in carved(trigger, whole, slot)), own]):
        return "the history cannot be written"
    return None


def refused(slot: float, why: str, id: Any) -> Row:
    """What who asked is told; the ledger has its record of this slot already."""
    return {"slot": slot, "kind": KIND, "state": "skipped", "reason": why, "finished": time.time(), "id": id}


def _row(part: Range, old: Row) -> Row:
    fields = asdict(part)
    return {"slot": fields.pop("first"), "kind": old["kind"], "finished": old["finished"]} | fields
