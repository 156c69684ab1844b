"""Who is healthy, what is wrong in words, and the table at each width."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.status import healthy, named, note, sentence, state, table, verdict
from supervisor.core.words import width
from support.statuses import NOW, ORDERS, STATUS, child, down, stamp


@pytest.mark.parametrize(
    ("fields", "well"),
    [
        ({"state": "running", "ready": True}, True),
        ({"state": "running", "ready": False}, False),
        ({"state": "running", "ready": True, "waiting": "broker"}, False),
        ({"state": "starting", "ready": False}, False),
        ({"state": "stopping"}, False),
        ({"state": "backoff"}, False),
        ({"state": "fatal"}, False),
        ({"state": "stopped"}, False),
        ({"state": "stopped", "enabled": False}, True),
        ({"state": "stopping", "enabled": False}, True),
    ],
)
def test_disabled_is_healthy_and_starting_or_waiting_is_not(fields: dict[str, Any], well: bool) -> None:
    assert healthy(child("a", **fields)) is well


def test_the_verdict_names_every_problem() -> None:
    found = verdict(STATUS)
    assert not found.ok
    assert [(p.name, p.text) for p in found.problems] == [
        ("task1", "task1 is in backoff: ConnectionError: db:5432 refused")
    ]


def test_all_that_is_wanted_and_ready_is_a_good_verdict() -> None:
    assert verdict({"supervisor": {"state": "running"}, "children": [child("a"), child("b", enabled=False)]}).ok


def test_a_supervisor_that_stops_is_a_problem() -> None:
    found = verdict({"supervisor": {"state": "stopping"}, "children": []})
    assert [p.text for p in found.problems] == ["the supervisor is stopping"]


def test_the_word_for_a_state() -> None:
    assert state(child("a", state="stopped", enabled=False)) == "disabled"
    assert state(child("a", waiting="broker")) == "waiting"
    assert state(child("a", state="backoff", waiting="broker")) == "backoff"


def test_a_sentence_says_why() -> None:
    assert sentence(child("a", waiting="broker 10.0.0.1:9092")) == "a is waiting: broker 10.0.0.1:9092"
    assert sentence(child("a", ready=False)) == "a is not ready"
    assert sentence(child("a", state="fatal", last_exit={"reason": "no module x"})) == "a is fatal: no module x"


def test_members_are_found_by_their_group() -> None:
    status = {"children": [child("orders:1", group="orders"), child("orders:2", group="orders"), child("a")]}
    assert [c["name"] for c in named(status, ["orders"])] == ["orders:1", "orders:2"]
    assert [c["name"] for c in named(status, ["orders:2", "a"])] == ["orders:2", "a"]
    assert len(named(status, [])) == 3


def test_the_note_says_who_switched_it_off_and_for_how_long() -> None:
    by = {"enabled": False, "who": "alice", "until": stamp(NOW + 7200), "note": "db migration"}
    assert note(child("a", enabled=False, override=by), NOW) == "off by alice, 2h left: db migration"
    assert note(child("a", enabled=False, where="config.toml:54"), NOW) == "config.toml:54"


def lines(columns: int | None) -> list[str]:
    made = table(STATUS, columns, NOW)
    rows = [made.header, *[[cell.text for cell in row] for row in made.rows]]
    return ["  ".join(t + " " * (w - width(t)) for t, w in zip(r, made.widths, strict=True)).rstrip() for r in rows]


WIDE = """\
NAME           STATE       PID   UPTIME  SCHEDULE       LAST RUN            NEXT      RESTARTS  BEAT  CPU   MEM  NOTE
orders         ● running   4211  2h14m   orders, users  lag 0, 312 records  -         0         0.4s  1.2%  61M
notifications  ● running   4212  2h14m   every 30s      ✓ 0.21s 12s ago     18s       0         0.7s  0.1%  38M
task1          ◐ backoff   -     -       every 5m       ✗ 0.03s 4s ago      retry 8s  3         -     -     -    \
ConnectionError: db:5432 refused
task2          ○ disabled  -     -       every 15m      ✓ 3.8s 2d ago       -         0         -     -     -    \
off by alice, 2h left: db migration"""
AT_140 = """\
NAME           STATE       PID   UPTIME  SCHEDULE       LAST RUN            NEXT      RESTARTS  BEAT  MEM  NOTE
orders         ● running   4211  2h14m   orders, users  lag 0, 312 records  -         0         0.4s  61M
notifications  ● running   4212  2h14m   every 30s      ✓ 0.21s 12s ago     18s       0         0.7s  38M
task1          ◐ backoff   -     -       every 5m       ✗ 0.03s 4s ago      retry 8s  3         -     -    \
ConnectionError: db:5432 refused
task2          ○ disabled  -     -       every 15m      ✓ 3.8s 2d ago       -         0         -     -    \
off by alice, 2h left: db…"""
AT_100 = """\
NAME           STATE       SCHEDULE       LAST RUN            NEXT      NOTE
orders         ● running   orders, users  lag 0, 312 records  -
notifications  ● running   every 30s      ✓ 0.21s 12s ago     18s
task1          ◐ backoff   every 5m       ✗ 0.03s 4s ago      retry 8s  ConnectionError: db:5432…
task2          ○ disabled  every 15m      ✓ 3.8s 2d ago       -         off by alice, 2h left: db…"""
AT_80 = """\
NAME           STATE       LAST RUN            NEXT      NOTE
orders         ● running   lag 0, 312 records  -
notifications  ● running   ✓ 0.21s 12s ago     18s
task1          ◐ backoff   ✗ 0.03s 4s ago      retry 8s  ConnectionError…
task2          ○ disabled  ✓ 3.8s 2d ago       -         off by alice, 2h left:…"""
AT_60 = """\
NAME           STATE       NEXT      NOTE
orders         ● running   -
notifications  ● running   18s
task1          ◐ backoff   retry 8s  ConnectionError…
task2          ○ disabled  -         off by alice, 2h left:…"""
IDS = ["piped", "140", "100", "80", "60"]


@pytest.mark.parametrize(
    ("columns", "shown"), [(None, WIDE), (140, AT_140), (100, AT_100), (80, AT_80), (60, AT_60)], ids=IDS
)
def test_whole_columns_go_when_the_terminal_is_narrow(columns: int | None, shown: str) -> None:
    assert lines(columns) == shown.splitlines()


def test_at_80_columns_a_disabled_child_says_by_whom_and_for_how_long() -> None:
    by = {"enabled": False, "who": "root", "until": stamp(NOW + 7200), "note": ""}
    off = down("cleanup", state="stopped", enabled=False, override=by)
    consumer = child("notification_events", kind="consumer", last_run=None, next_slot=None, lag=0, records=123456)
    made = table({"children": [consumer, child("notifications"), off]}, 80, NOW)
    assert made.rows[2][made.header.index("NOTE")].text == "off by root, 2h left"


@pytest.mark.parametrize(("columns", "last"), [(100, "RESTARTS"), (80, "RESTARTS"), (60, "NEXT"), (45, "NEXT")])
def test_without_a_note_its_place_is_for_other_columns(columns: int, last: str) -> None:
    made = table({"children": [ORDERS, child("a")]}, columns, NOW)
    assert last in made.header
    assert "NOTE" not in made.header


def test_of_an_error_only_its_first_line_is_shown() -> None:
    error = "OperationalError: refused\n\tIs the server running?\n(Background on this error at: https://sqlalche.me/e/20/e3)"
    assert note(child("a", last_run={"state": "failed", "error": error}), NOW) == "OperationalError: refused"
    assert note(child("a", waiting=error), NOW) == "OperationalError: refused"
    assert sentence(child("a", waiting=error)) == "a is waiting: OperationalError: refused"


@pytest.mark.parametrize("columns", [200, 140, 100, 80, 60, 45])
def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    assert max(width(text) for text in lines(columns)) <= columns


def test_a_run_that_goes_on_is_shown_as_next() -> None:
    made = table({"children": [child("a", kind="task", phase="running", phase_age=372.0)]}, None, NOW)
    assert made.rows[0][made.header.index("NEXT")].text == "now, 6m"


def test_a_consumer_that_is_paused_by_hand_says_who_did_it_and_what_ends_it() -> None:
    paused = {"group": "orders", "kind": "consumer", "paused_by": {"who": "alice", "since": stamp(NOW - 300)}}
    reader = child("orders:1", note="t:0:5: the partition is paused", **paused)
    assert note(reader, NOW) == "paused by alice 5m ago: supervisor kafka resume orders"
    assert note({**reader, "waiting": "broker b:9092: refused"}, NOW).endswith("resume orders; broker b:9092: refused")
    assert note(child("a", paused_by={}), NOW) == "paused by somebody: supervisor kafka resume a"


def test_what_a_child_says_of_itself_is_its_note() -> None:
    reader = child("a", kind="consumer", last_run=None, note="t:0:5: the partition is paused")
    assert note(reader, NOW) == "t:0:5: the partition is paused"


def test_without_a_note_there_is_no_column_for_it() -> None:
    assert "NOTE" not in table({"children": [child("a")]}, None, NOW).header


KEYS = [*child("a"), "override", "until", "who", "note", "finished", "duration", "slot", "topic", "lag", "records"]
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec=None), max_size=30)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=4,
)
STATUSES = st.fixed_dictionaries({"children": st.lists(st.dictionaries(st.sampled_from(KEYS), ANY), max_size=3)})


@given(STATUSES, st.sampled_from([None, 40, 60, 80, 140]))
def test_whatever_children_say_the_table_is_harmless(status: dict[str, Any], columns: int | None) -> None:
    made = table(status, columns, NOW)
    texts = [
        *made.header,
        *[cell.text for row in made.rows for cell in row],
        *[p.text for p in verdict(status).problems],
    ]
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or 0xD800 <= ord(c) <= 0xDFFF for c in "".join(texts))
