"""What is sent next to one target, and when; what becomes of what cannot be sent."""

from __future__ import annotations

from supervisor.core.alerts import Alert
from supervisor.core.outbox import GIVE_UP_AFTER, LONGEST_WAIT, MOST, Outbox
from supervisor.core.spec import AlertKind


def alert(child: str = "orders", kind: AlertKind = "fatal", time: float = 0.0) -> Alert:
    return Alert(kind, child, "x", time)


def failing(*children: str) -> Outbox:
    """An outbox whose first sending failed at 0."""
    box = Outbox("https://h/(hidden)")
    for child in children or ("orders",):
        box.put(alert(child), 0)
    box.take(0)
    box.ended("HTTP 500", 0)
    return box


def test_one_is_sent_at_a_time_in_order() -> None:
    box = Outbox("h")
    assert (box.take(0), box.deadline()) == (None, None)
    box.put(alert("a"), 0)
    box.put(alert("b"), 0)
    assert box.take(5) == alert("a")
    assert (box.take(5), box.deadline()) == (None, None)
    assert box.ended(None, 6) is None
    assert box.take(6) == alert("b")


def test_a_target_that_begins_to_fail_is_one_line_and_one_that_works_again_another() -> None:
    box = Outbox("h")
    box.put(alert(), 0)
    box.put(alert("b"), 0)
    said = []
    for now in range(0, 300, 70):
        assert box.take(now)
        said.append(box.ended("HTTP 500", now))
    assert box.take(400)
    said.append(box.ended(None, 400))
    assert box.take(400)
    said.append(box.ended(None, 400))
    assert said == [
        ("warning", "alerts cannot be delivered to h: HTTP 500; each is tried again for an hour"),
        *[None] * 4,
        ("info", "alerts to h are delivered again"),
        None,
    ]


def test_the_status_says_the_newest_reason_and_nothing_when_all_is_well() -> None:
    box = failing("a", "b")
    assert box.note == "alerts cannot be delivered: https://h/(hidden): HTTP 500 (2 waiting)"
    box.take(100)
    box.ended("no answer within 8 s", 100)
    assert "no answer" in str(box.note)
    box.take(200)
    box.ended(None, 200)
    assert box.note is None


def test_the_wait_doubles_up_to_a_minute() -> None:
    box, now, waits = failing(), 0.0, []
    for _ in range(12):
        at = box.deadline()
        assert at is not None
        assert box.take(at - 0.01) is None
        waits.append(at - now)
        now = at
        assert box.take(now)
        box.ended("HTTP 500", now)
    assert waits == [1, 2, 4, 8, 16, 32, *[LONGEST_WAIT] * 6]


def test_after_a_success_the_next_failure_waits_a_second_again() -> None:
    box = failing("a", "b")
    box.take(10)
    box.ended(None, 10)
    assert box.take(10) == alert("b")
    box.ended("HTTP 500", 10)
    assert box.deadline() == 11


def test_what_waits_becomes_one_with_what_follows_of_the_same_kind_and_child() -> None:
    box = failing("a", "b")
    box.put(alert("a", time=7), 7)
    box.put(alert("b", time=8), 8)
    assert [entry.alert for entry in box.left] == [Alert("fatal", "a", "x", 0, 2), Alert("fatal", "b", "x", 0, 2)]


def test_the_order_of_what_is_told_of_one_child_stays() -> None:
    box = failing("a")
    box.put(alert("a", "recovered"), 1)
    box.put(alert("a", "fatal"), 2)
    assert [entry.alert.kind for entry in box.left] == ["fatal", "recovered", "fatal"]


def test_what_is_being_sent_is_not_folded_into() -> None:
    box = Outbox("h")
    box.put(alert(), 0)
    box.take(0)
    box.put(alert(), 1)
    assert len(box.left) == 2


def test_after_an_hour_it_is_given_up_and_that_is_said_once() -> None:
    box = failing("a")
    box.put(alert("b"), 10)
    assert box.expire(GIVE_UP_AFTER - 1) is None
    assert box.expire(GIVE_UP_AFTER) == (
        "error",
        "an alert to https://h/(hidden) is given up after an hour: fatal of a",
    )
    assert box.expire(GIVE_UP_AFTER + 10) is None
    assert box.left == []
    box.put(alert("c"), GIVE_UP_AFTER + 20)
    assert "1 waiting, 2 given up" in str(box.note)
    box.take(GIVE_UP_AFTER + 20)
    assert box.ended(None, GIVE_UP_AFTER + 20) == (
        "info",
        "alerts to https://h/(hidden) are delivered again; 2 were given up",
    )
    assert box.lost == 0


def test_it_wakes_up_to_give_up_also_when_the_next_try_is_later() -> None:
    box = failing("a")
    for now in range(0, 3600, 60):
        if box.take(now):
            box.ended("HTTP 500", now)
    assert box.deadline() == GIVE_UP_AFTER


def test_no_more_than_a_hundred_wait_and_the_oldest_go() -> None:
    box = failing("c0")
    for number in range(1, MOST + 5):
        box.put(alert(f"c{number}"), number)
    assert len(box.left) == MOST
    assert (box.left[0].alert.child, box.lost) == ("c5", 5)


def test_what_a_working_target_was_too_slow_for_is_said() -> None:
    box = Outbox("h")
    box.put(alert("first"), 0)
    box.take(0)
    for number in range(MOST + 2):
        box.put(alert(f"c{number}"), 0)
    assert box.ended(None, 1) == ("warning", "2 alerts to h were given up: more than 100 waited")


def test_a_new_target_takes_over_what_waits() -> None:
    box = Outbox("new", failing("a", "b").left)
    assert box.take(0) == alert("a")


def test_idle_is_when_nothing_is_under_way_or_will_be_in_time() -> None:
    box = Outbox("h")
    assert box.idle(2)
    box.put(alert(), 0)
    assert not box.idle(2)
    box.take(0)
    assert not box.idle(2)
    box.ended("HTTP 500", 0)
    assert not box.idle(2)
    assert box.idle(0.5)
