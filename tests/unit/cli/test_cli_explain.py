"""Why a child is as it is, in words."""

from __future__ import annotations

from supervisor.cli.explain import explained
from support.statuses import NOW, ORDERS, TASK1, TASK2, child, stamp


def test_a_child_in_backoff_says_all_that_is_known() -> None:
    detail = {
        **TASK1,
        "last_exit": {"cause": "crash", "reason": "exit code 1", "code": 1, "time": stamp(NOW - 4), "phase": "running"},
        "failures": {"in_row": 3, "total": 5, "same_error": 3, "first": stamp(NOW - 330), "crash_loop": False},
    }
    assert explained(detail, ["14:07:14.00 fetching invoices", "14:07:14.02 ERROR could not connect"], NOW) == [
        "task1 is in backoff: ConnectionError: db:5432 refused. 3 failures in a row. Next try in 8s.",
        "  last exit   crash (code 1) 4s ago",
        "              exit code 1",
        "              while running",
        "  failures    3 in a row, 5 in all, the first 5m ago, the same error 3 times",
        "  last run    failed 4s ago, took 0.03s",
        "              ConnectionError",
        "  error       ConnectionError: db:5432 refused",
        "  last lines  14:07:14.00 fetching invoices",
        "              14:07:14.02 ERROR could not connect",
        "  config      config.toml:47  every 5m",
        "  try         supervisor logs task1",
        "              supervisor run task1 --local   (in this terminal, breakpoint() works)",
        "              supervisor restart task1   (now, the count begins again)",
        "              supervisor disable task1",
    ]


def test_a_disabled_child_says_who_and_how_to_enable_it() -> None:
    told = explained(TASK2, [], NOW)
    assert told[0] == "task2 is disabled. Disabled at run time by alice for another 2h: db migration."
    assert told[-1] == "  try         supervisor enable task2"


def test_a_consumer_says_where_it_reads() -> None:
    parts = [{"topic": "orders", "partition": 2, "position": 114, "lag": 3, "paused": True}]
    told = explained({**ORDERS, "partitions": parts, "phase": "handling", "subject": "orders"}, [], NOW)
    assert "  doing       handling orders for 1s, pid 4211" in told
    assert "  reads       orders[2] at 114, lag 3, paused" in told


def test_what_a_child_says_of_itself_and_a_dead_member_that_stays_are_told() -> None:
    last = {"cause": "crash", "reason": "SIGSEGV", "signal": 11, "not_evicted": "its dead member is still in group"}
    told = explained({**ORDERS, "note": "the partition is paused", "last_exit": last}, [], NOW)
    assert "  note        the partition is paused" in told
    assert "              its dead member is still in group" in told


def test_a_crash_while_handling_names_the_record() -> None:
    last = {"cause": "crash", "reason": "SIGSEGV", "signal": 11, "phase": "handling", "subject": "orders"}
    told = explained({**ORDERS, "last_exit": {**last, "partition": 1, "offset": 7}}, [], NOW)
    assert "              while handling orders[1]@7" in told
    assert "  last exit   crash (signal 11)" in told


def test_a_fatal_child_says_that_it_is_not_tried_again() -> None:
    told = explained(child("a", state="fatal", last_error="no module x"), [], NOW)
    assert told[0].startswith("a is fatal: no module x. Not tried again until")


def test_nothing_of_it_is_a_control() -> None:
    evil = "\x1b[2J\r\n\x9b"
    fields = dict.fromkeys(("waiting", "reason", "last_error", "where", "schedule", "stacks", "phase", "subject"), evil)
    override = {"enabled": True, "who": evil, "note": evil}
    told = explained(child(evil, **fields, override=override, last_exit={"cause": evil, "reason": evil}), [evil], NOW)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in "".join(told))
