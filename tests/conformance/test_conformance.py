"""Real lives of the driver, each lived again by the pure core. More: `python tests/conformance/run.py`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance import lives
from conformance.judge import judge, read
from conformance.run import lives as lived
from supervisor.core.lifecycle import events as ev

LIVES = 10
Entries = list[tuple[Any, ...]]


def test_the_same_events_give_the_same_actions_and_each_is_carried_out() -> None:
    tally, number = lived(range(1, LIVES + 1), lanes=2)
    assert number == LIVES
    assert {"Spawned", "Exited", "BecameReady", "tick", "apply", "want", "stop"} <= tally.events.keys()
    assert {"Changed", "Spawn", "Terminate", "Drain", "Kill", "Said"} <= tally.actions.keys()


@pytest.fixture(scope="module")
def entries() -> Entries:
    """Of one life."""
    kept: Entries = []

    def keep(path: Path) -> Any:
        kept.extend(read(path))
        return judge(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lives, "judge", keep)
        lives.live(3)
    return kept


def first(entries: Entries, what: str) -> int:
    """Where that is first done to a child; the guard is sent something every second, too."""
    pids = forked(entries)
    done = (n for n, entry in enumerate(entries) if entry[:2] == ("done", what))
    return next(n for n in done if what != "send" or entries[n][2][0] in pids)


def forked(entries: Entries) -> list[int]:
    return [entry[2][1] for entry in entries if entry[:2] == ("done", "fork")]


def without(what: str) -> Callable[[Entries], Entries]:
    return lambda entries: entries[: (at := first(entries, what))] + entries[at + 1 :]


def twice(what: str) -> Callable[[Entries], Entries]:
    return lambda entries: entries[: (at := first(entries, what)) + 1] + entries[at:]


def to_another(entries: Entries) -> Entries:
    """A signal that hits another child's process."""
    at = first(entries, "send")
    pid, number = entries[at][2]
    other = next(each for each in forked(entries) if each != pid)
    return [*entries[:at], ("done", "send", (other, number)), *entries[at + 1 :]]


def another_answer(entries: Entries) -> Entries:
    """A core that decides by something else than what it is given."""
    at = next(n for n, entry in enumerate(entries) if entry[0] == "call" and entry[4])
    kind, method, given, drawn, _, after = entries[at]
    return [*entries[:at], (kind, method, given, drawn, [], after), *entries[at + 1 :]]


def exits(entries: Entries) -> Iterator[int]:
    for number, entry in enumerate(entries):
        if entry[0] == "call" and entry[1] == "step" and isinstance(entry[2][0][1], ev.Exited):
            yield number


def end_untold(entries: Entries) -> Entries:
    return entries[: (at := next(exits(entries)))] + entries[at + 1 :]


def end_told_twice(entries: Entries) -> Entries:
    return entries[: (at := next(exits(entries))) + 1] + entries[at:]


DAMAGED = {
    "a signal is not sent": without("send"),
    "a change is not told": without("changed"),
    "a change is told twice": twice("changed"),
    "a signal is sent twice": twice("send"),
    "a fork is made twice": twice("fork"),
    "a signal hits another": to_another,
    "the core answers otherwise": another_answer,
    "an end is not told": end_untold,
    "an end is told twice": end_told_twice,
    "the record breaks off": lambda entries: entries[: len(entries) // 2],
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=[name.replace(" ", "_") for name in DAMAGED])
def test_a_driver_or_a_core_that_parts_from_the_other_is_noticed(
    entries: Entries, tmp_path: Path, damage: Callable[[Entries], Entries]
) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"".join(map(pickle.dumps, entries)))
    judge(path)
    path.write_bytes(b"".join(map(pickle.dumps, damage(entries))))
    with pytest.raises(AssertionError):
        judge(path)
