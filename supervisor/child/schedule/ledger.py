"""RUNS IN A CHILD, and read by `history`: what became of every slot of one task, in one SQLite file.

One row per (slot, kind); further attempts update it; slots next to each other that did not run are one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supervisor.child.schedule.ledger_file import OPEN, OWED, UPSERT, Row, record, values
from supervisor.child.schedule.store import Store
from supervisor.core.schedule.unwritten import ended, never_began

if TYPE_CHECKING:
    from supervisor.child.birth import LastExit
    from supervisor.core.schedule.missed import Range

CLOSE = 0.05  # seconds between the start that a record told of and the true one


class Ledger(Store):
    """The writer's side; one per process."""

    def begin(
        self, slot: float, kind: str, *, attempt: int, lateness: float, id: str | None = None, at: float | None = None
    ) -> Row:
        """Record that a run starts, before it does: now, or `at` a time that is close."""
        started = self._now() if at is None else at
        row: Row = {"slot": slot, "kind": kind, "state": "running", "attempt": attempt, "started": started}
        row |= {"lateness": round(lateness, 4), "id": id}
        self._put(row)
        return row

    def began(self, row: Row, started: float, lateness: float) -> None:
        """It starts this moment. Its end is recorded with that; before it, only what is far from what was said."""
        far = abs(started - row["started"]) > CLOSE
        row |= {"started": started, "lateness": lateness}
        if far:
            self._put(row)

    def retract(self, row: Row) -> None:
        """It did not start: let its record be as if nothing had been said."""
        self._held.drop(row)
        self._do("DELETE FROM run WHERE slot = ? AND kind = ? AND finished IS NULL", (row["slot"], row["kind"]))

    def finish(self, row: Row, state: str, *, duration: float, error: str | None = None, **more: Any) -> Row:
        """Record its end, whatever was recorded of it before. `more`: result, cpu, rss, stacks."""
        row |= {"state": state, "finished": self._now(), "duration": round(duration, 4), "error": error} | more
        self._put(row)
        return row

    def skip(self, slot: float, kind: str, reason: str, *, state: str = "skipped", id: str | None = None) -> Row:
        """Record one slot that does not run."""
        row: Row = {"slot": slot, "kind": kind, "state": state, "reason": reason, "finished": self._now(), "id": id}
        self._put(row)
        return row

    def close(self, closed: Range, previous_slot: float | None = None) -> None:
        """Record slots that did not run; they go on the row of the ones just before, when that says the same."""
        same = "kind = 'schedule' AND coalesce(last, slot) = ? AND state = ? AND reason = ? AND started IS NULL"
        old = self._one(f"SELECT slot, slots FROM run WHERE {same}", (previous_slot, closed.state, closed.reason))
        first = old[0] if old else closed.first
        known = None if closed.slots is None or (old and old[1] is None) else closed.slots + (old[1] if old else 0)
        row: Row = {"slot": first, "kind": "schedule", "last": closed.last, "slots": known, "state": closed.state}
        self._put(row | {"reason": closed.reason, "finished": self._now()})

    def interrupt(self, reason: str | None = None) -> None:
        """SIGTERM came, or the next slot: whoever kills us now, the run was interrupted. Called by a signal handler."""
        self._do("UPDATE run SET state = 'interrupted', reason = ? WHERE state = 'running'", (reason,))
        self._held.interrupt(reason)

    def close_open(
        self, previous: LastExit | None, left: Row | None = None, overtaken: Callable[[Row], bool] = lambda row: False
    ) -> list[Row]:
        """Close what an earlier process left running; return these rows. `left`: what else is known of its end.

        A run that was prepared and not started leaves no record: its slot is owed still.
        """
        found = self._rows(f"SELECT * FROM run WHERE {OPEN} ORDER BY slot")
        for row in list(found):
            if previous and never_began(record("", row), asdict(previous)):
                self.retract(row)
                found.remove(row)
                continue
            cause, reason = (previous.cause, previous.reason) if previous else (None, None)
            room = overtaken(row)
            row["state"], row["error"] = ended(row["state"], cause, reason, overtaken=room)
            row["reason"] = "overlap" if room else row["reason"]
            row["finished"] = self._now()
            if previous and (row["started"] or previous.at) < previous.at:
                row |= {"finished": previous.at, "duration": round(previous.at - row["started"], 4)}
            self._put(row | (left or {}))
        return found

    def has(self, slot: float) -> bool:
        """Whether this very slot of the schedule has a record."""
        sql = f"SELECT 1 FROM run WHERE {OWED} AND slot <= ? AND coalesce(last, slot) >= ? LIMIT 1"
        return bool(self._held.covering(slot, slot)) or self._one(sql, (slot, slot)) is not None

    def covering(self, first: float, last: float) -> list[Row]:
        """Return the records of the schedule that have a part in [first, last], those not written yet included."""
        sql = f"SELECT * FROM run WHERE {OWED} AND slot <= ? AND coalesce(last, slot) >= ?"
        return [*self._rows(sql, (last, first)), *self._held.covering(first, last)]

    def replace(self, old: Row, new: list[Row]) -> bool:
        """Put other records in the place of one, all or none. False: the file does not take them."""
        if self._file is None or self._held or not self._do("BEGIN IMMEDIATE"):
            return False
        done = self._do("DELETE FROM run WHERE slot = ? AND kind = ?", (old["slot"], old["kind"]))
        done = done and all(self._do(UPSERT, values(row)) for row in new) and self._do("COMMIT")
        if self._db.in_transaction:
            self._do("ROLLBACK")
        return done

    def last(self) -> Row | None:
        """Return the newest run that started."""
        rows = self._rows("SELECT * FROM run WHERE started IS NOT NULL ORDER BY started DESC LIMIT 1")
        return rows[0] if rows else None

    def forget_future(self, now: float) -> None:
        """The clock was set back: slots after `now` are not missed yet. What started stays, and never starts again."""
        self._held.forget_future(now)
        self._do("DELETE FROM run WHERE started IS NULL AND slot > ?", (now,))
        self._do("UPDATE run SET last = ?, slots = NULL WHERE started IS NULL AND last > ?", (now, now))
        if (self.meta("since") or 0.0) > now:
            self.set_meta("since", now)

    def prune(self, *, keep: float, most: int) -> None:
        """Drop rows older than `keep` seconds, and the oldest over `most`; what they settled stays settled."""
        over = self._one("SELECT slot FROM run ORDER BY slot DESC LIMIT 1 OFFSET ?", (most,))
        limit = max(self._now() - keep, over[0] if over else 0.0)
        old = f"coalesce(last, slot) <= ? AND NOT ({OPEN})"
        gone = self._one(f"SELECT max(coalesce(last, slot)) FROM run WHERE {OWED} AND {old}", (limit,))
        if gone and gone[0] is not None:
            self.set_meta("since", max(gone[0], self.meta("since") or 0.0))
        self._do(f"DELETE FROM run WHERE {old}", (limit,))
