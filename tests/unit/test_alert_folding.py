"""Which events are alerts, how many become one, and that the last word on a child is true."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.alerts import WINDOW, Alert, Folding, body, kind_of
from supervisor.core.spec import ALERT_KINDS, AlertKind


def alert(kind: AlertKind = "dead_letter", child: str = "orders", text: str = "x", time: float = 0.0) -> Alert:
    return Alert(kind, child, text, time)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, code) for code in ("crash_loop", "dead_letter", "partition_paused", "task_paused", "unkillable")),
        *((code, code) for code in ("partition_stalled", "not_joined", "fenced")),
        ("offset_missing", "partition_paused"),
        ("partitions_lost", None),
        ("stack", None),
        ("", None),
    ],
)
def test_a_notice_is_an_alert_by_its_code(code: str, kind: str | None) -> None:
    assert kind_of(code) == kind


def test_what_is_sent_names_everything_and_its_text_is_enough_alone() -> None:
    found = body(Alert("dead_letter", "orders", "t:0@7: ValueError", 0.5, 3), host="web-1", version="1", run_id="ab")
    assert json.loads(json.dumps(found)) == {
        "kind": "dead_letter",
        "child": "orders",
        "text": "orders on web-1: dead letter: t:0@7: ValueError (3 times)",
        "time": "1970-01-01T00:00:00.500Z",
        "count": 3,
        "host": "web-1",
        "supervisor": {"version": "1", "run_id": "ab"},
    }
    assert body(alert(), host="h", version="1", run_id="")["text"] == "orders on h: dead letter: x"


def test_the_first_is_told_at_once() -> None:
    folding = Folding()
    assert folding.deadline() is None
    folding.add(alert(), 10)
    assert folding.deadline() == 10
    assert folding.due(10) == [alert()]
    assert (folding.due(10), folding.deadline()) == ([], None)


def test_what_follows_within_a_minute_is_one_alert_with_a_count() -> None:
    folding = Folding()
    folding.add(alert(text="first", time=100), 10)
    folding.due(10)
    for second in range(20, 30):
        folding.add(alert(text=f"at {second}", time=second), second)
    assert folding.due(10 + WINDOW - 0.1) == []
    assert folding.due(10 + WINDOW) == [Alert("dead_letter", "orders", "at 29", 20, 10)]


def test_another_child_or_another_kind_is_another_alert() -> None:
    folding = Folding()
    for each in (alert(), alert(child="users"), alert("fatal")):
        folding.add(each, 10)
    assert [a.key for a in folding.due(10)] == [
        ("dead_letter", "orders"),
        ("dead_letter", "users"),
        ("fatal", "orders"),
    ]


def test_after_a_quiet_minute_it_is_told_at_once_again() -> None:
    folding = Folding()
    folding.add(alert(), 10)
    folding.due(10)
    folding.due(10 + WINDOW)
    folding.add(alert(text="later"), 10 + WINDOW + 1)
    assert folding.due(10 + WINDOW + 1) == [alert(text="later")]


def test_a_recovery_does_not_overtake_what_it_is_the_end_of() -> None:
    folding = Folding()
    folding.add(alert("crash_loop"), 10)
    folding.due(10)
    folding.add(alert("crash_loop", text="again"), 20)  # would wait for its minute
    folding.add(alert("crash_loop", child="users"), 20)
    folding.due(20)
    folding.add(alert("crash_loop", child="users", text="again"), 21)
    folding.add(alert("recovered"), 30)
    assert [(a.kind, a.text) for a in folding.due(30)] == [("crash_loop", "again"), ("recovered", "x")]
    assert folding.deadline() == 20 + WINDOW  # the other child's


def test_a_recovery_that_is_not_told_yet_is_revoked_by_a_new_trouble() -> None:
    folding = Folding()
    folding.add(alert("recovered"), 10)
    folding.due(10)
    folding.add(alert("recovered", text="too late"), 20)
    folding.add(alert("fatal"), 30)
    assert folding.due(1000) == [alert("fatal")]


def test_two_recoveries_are_folded_as_everything_else() -> None:
    folding = Folding()
    folding.add(alert("recovered"), 10)
    folding.due(10)
    folding.add(alert("recovered", text="a"), 20)
    folding.add(alert("recovered", text="b"), 30)
    assert [(a.text, a.count) for a in folding.due(1000)] == [("b", 2)]


def test_at_the_end_nothing_waits_for_its_minute() -> None:
    folding = Folding()
    folding.add(alert(), 10)
    folding.due(10)
    folding.add(alert(text="last"), 11)
    folding.hurry(12)
    assert folding.due(12) == [alert(text="last")]


events = st.lists(st.tuples(st.sampled_from(ALERT_KINDS), st.sampled_from("ab"), st.floats(0, 30)), max_size=60)


@given(events)
def test_nothing_is_lost_but_revoked_recoveries_and_the_last_word_is_true(
    found: list[tuple[AlertKind, str, float]],
) -> None:
    folding, now, told = Folding(), 0.0, []
    for kind, child, pause in found:
        now += pause
        folding.add(Alert(kind, child, "", now), now)
        told += folding.due(now)
    told += folding.due(now + WINDOW)
    for kind in ALERT_KINDS[:-1]:
        for child in "ab":
            counts = [a.count for a in told if a.key == (kind, child)]
            assert sum(counts) == sum(each[:2] == (kind, child) for each in found)
    for child in "ab":  # the last word is true
        last = [each[0] for each in found if each[1] == child]
        if last:
            assert ([a.kind for a in told if a.child == child][-1] == "recovered") == (last[-1] == "recovered")
