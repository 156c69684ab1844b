"""A task whose process is killed, stopped, disabled, paused and asked at random while its clock is set: every slot has
exactly one record in the end, and none started twice.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.birth import LastExit
from supervisor.child.runtime import Runtime
from supervisor.child.schedule import lead, runner
from supervisor.core import journal
from supervisor.core.journal import Event
from supervisor.core.schedule.slots import Every
from support.child import ForkedChild, spec
from support.tasks import Task

PERIOD = 0.2
SLOTS = Every(PERIOD)
EVENTS = 14  # in one life
RAN = {"ok", "failed", "killed", "interrupted", "lost"}
CODE = """
    import os, pathlib, random, time
    SEEN = pathlib.Path(__file__).parent / "seen"
    def run(ctx):
        with open(SEEN, "a") as file:
            file.write(f"{ctx.kind} {ctx.slot:.3f}\\n")
        time.sleep(random.choice((0, 0, 0.05, 0.3)))
        if random.random() < 0.1: raise ValueError("no")
"""


class Life:
    """One task, and a clock of its own that is set by writing a file."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng, self.folder = rng, folder
        settings = {"overlap": rng.choice(("skip", "queue_one")), "catch_up": rng.choice(("none", "latest", "all"))}
        self.task = Task(folder, CODE, every=PERIOD, timeout=30.0, **settings)
        self.latest = 0.0
        self.set(0.0)
        self.child: ForkedChild | None = None
        self.previous: LastExit | None = None
        self.told: list[str] = []

    @property
    def now(self) -> float:
        return time.time() + self.shift

    def set(self, shift: float) -> None:
        fresh = self.folder / "shift.new"
        fresh.write_text(repr(shift))
        os.replace(fresh, self.folder / "shift")
        self.shift = shift
        self.latest = max(self.latest, self.now)

    def start(self) -> None:
        clock = self.folder / "shift"

        def run(rt: Runtime) -> int:
            real = time.time
            time.time = lambda: real() + float(clock.read_text())
            return runner.run(rt)

        self.child = ForkedChild(run, spec("mail", self.task.settings), self.folder, previous=self.previous)
        self.child.wait_ready()

    def end(self, cause: str) -> None:
        assert self.child is not None
        if cause == "crash":
            self.child.kill()
        else:
            self.child.terminate()
        self.child.exit_code()
        doing, ran = self.child.doing(), self.child.ran() or (self.previous and self.previous.ran)
        self.child.__exit__()
        self.latest = max(self.latest, self.now)
        told: dict[str, Any] = {
            "phase": doing.phase if doing else "",  # killed in the middle of a write
            "subject": doing.subject if doing else "",
            "ran": ran,
        }  # as the parent reads it in the black box
        self.child, self.previous = None, LastExit(cause=cause, reason=f"the test: {cause}", at=self.now, **told)

    def note(self, what: Any) -> None:
        with open(self.folder / ".supervisor" / "journal", "a") as file:
            file.write(journal.to_line(Event(self.now, what, "mail")) + "\n")

    # What happens.

    def live(self) -> None:
        time.sleep(self.rng.uniform(0.05, 0.6))  # not to synchronise: how long it lives is part of the draw

    def kill(self) -> None:
        self.end("crash")
        self.start()

    def restart(self) -> None:
        self.end("planned")
        time.sleep(self.rng.choice((0.0, 0.5)))
        self.start()

    def disable(self) -> None:
        self.end("planned")
        self.note("disabled")
        time.sleep(self.rng.uniform(0.1, 0.7))
        self.note("enabled")
        self.start()

    def forward(self) -> None:
        self.set(self.shift + self.rng.uniform(0.5, 15))

    def back(self) -> None:
        self.set(self.shift - self.rng.uniform(0.5, 4))

    def set_while_down(self) -> None:
        self.end(self.rng.choice(("crash", "planned")))
        self.set(self.shift + self.rng.uniform(-4, 15))
        self.start()

    def pause(self) -> None:
        assert self.child is not None
        self.child.order("pause")
        time.sleep(self.rng.uniform(0.1, 0.6))
        self.child.order("resume")

    def backfill(self) -> None:
        assert self.child is not None
        missed = [r for r in self.task.records if r["state"] == "missed"]
        if missed:
            row = self.rng.choice(missed)
            self.child.order("run", slot=self.rng.choice(slots_of(row)), kind="backfill")


HAPPENINGS: tuple[Callable[[Life], None], ...] = (
    *(Life.kill, Life.restart, Life.disable, Life.forward, Life.back),
    *(Life.set_while_down, Life.pause, Life.backfill, Life.backfill),
)


@contextmanager
def lived(folder: Path, seed: int) -> Iterator[Life]:
    life = Life(folder, random.Random(seed))
    life.start()
    try:
        for _ in range(EVENTS):
            what = life.rng.choice(HAPPENINGS)
            life.told.append(what.__name__)
            what(life)
            life.live()
        life.end("planned")
        life.set(life.latest - time.time() + 5)  # beyond all that any clock showed: nothing is owed after this
        life.start()
        assert life.child is not None
        begun = life.now
        life.child.wait_facts(lambda f: (f.get("next_slot") or 0) > begun + 2 * PERIOD)
        life.end("planned")
        yield life
    finally:
        if life.child is not None:
            life.child.__exit__()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def slots_of(record: Any) -> list[float]:
    first, last = at(record["slot"]), at(record.get("last", record["slot"]))
    return [round(slot, 3) for slot in SLOTS.between(first - 0.001, last)]


@pytest.mark.parametrize("seed", range(6))
def test_every_slot_has_one_record_and_none_started_twice(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead, "LEAST", 0.1 * (seed % 2))  # half of the lives wait for their slots half of the time
    with lived(tmp_path, seed) as life:
        records = [r for r in life.task.records if r["kind"] in ("schedule", "backfill")]
    found = Counter(slot for record in records for slot in slots_of(record))
    told = f"seed {seed}: {life.told}"
    assert [slot for slot, count in found.items() if count > 1] == [], f"two records of one slot, {told}"
    expected = [round(slot, 3) for slot in SLOTS.between(min(found) - 0.001, max(found) + 0.001)]
    assert sorted(found) == expected, f"slots without a record: {sorted(set(expected) - set(found))}, {told}"
    starts = Counter((tmp_path / "seen").read_text().split()[1::2])
    assert [slot for slot, count in starts.items() if count > 1] == [], f"a slot started twice, {told}"
    ran = {f"{slot:.3f}" for record in records if record["state"] in RAN for slot in slots_of(record)}
    assert set(starts) <= ran, f"a run without its record, {told}"
    assert "running" not in {record["state"] for record in records}
