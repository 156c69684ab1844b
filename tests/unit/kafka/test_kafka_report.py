"""What a consumer says of itself reaches the parent once, and a reason that stands is not lost on the way."""

from __future__ import annotations

from typing import Any

from supervisor.child.kafka.report import Report
from supervisor.core.wire.messages import Facts, Message


class Parent:
    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.frames = 0
        self.has_room = True

    def post(self, message: Message) -> bool:
        assert isinstance(message, Facts)
        if self.has_room:
            self.frames += 1
            self.known.update(message.facts)
        return self.has_room


def test_each_change_is_told_once_and_a_full_pipe_keeps_it() -> None:
    parent = Parent()
    report = Report(parent.post)
    parent.has_room = False
    report.set(records=1)
    report.flush()
    parent.has_room = True
    report.flush()
    report.flush()
    assert (parent.known, parent.frames) == ({"records": 1}, 1)


def test_outcomes_are_counted_by_their_names() -> None:
    parent = Parent()
    report = Report(parent.post)
    for outcome in ("skipped", "filtered", "skipped"):
        report.count(outcome)
        report.flush()
    assert parent.known["outcomes"] == {"skipped": 2, "filtered": 1}


def test_why_a_partition_is_held_stays_when_a_rebalance_clears_the_note() -> None:
    parent = Parent()
    report = Report(parent.post)
    held = True
    report.set(note="t:0:5: StopPartition")
    report.stand("t:0:5: StopPartition", lambda: held)
    report.set(note=None)  # partitions were assigned
    report.flush()
    assert parent.known["note"] == "t:0:5: StopPartition"
    held = False
    report.set(note=None)
    report.flush()
    assert parent.known["note"] is None


def test_another_note_comes_before_one_that_stands() -> None:
    parent = Parent()
    report = Report(parent.post)
    report.stand("t:0:5: held", lambda: True)
    report.set(note="t:1:7: held")
    report.flush()
    assert parent.known["note"] == "t:1:7: held"
