"""Toggles set at run time: when they win, when they end, and a document that nothing can break."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.overrides import (
    MAX_TEXT,
    Override,
    enabled,
    from_document,
    next_end,
    public,
    settle,
    to_document,
    toggle,
)

OFF = Override(enabled=False, who="alice", since=100.0, until=None, note="migration", config_enabled=True)
ON = replace(OFF, enabled=True, config_enabled=False)
_times = st.floats(0, 2e9)
_overrides = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True),
    st.builds(
        Override,
        enabled=st.booleans(),
        who=st.text(max_size=20),
        since=_times,
        until=st.none() | _times,
        note=st.text(max_size=30),
        config_enabled=st.booleans(),
    ),
    max_size=5,
)


def test_an_override_wins_over_the_file_and_without_one_the_file_decides() -> None:
    assert enabled(True, OFF) is False
    assert enabled(False, ON) is True
    assert enabled(True, None) is True
    assert enabled(False, None) is False


def test_disabling_is_kept_and_enabling_what_the_file_enables_needs_no_override() -> None:
    assert toggle({}, "orders", OFF) == {"orders": OFF}
    assert toggle({"orders": OFF}, "orders", replace(OFF, enabled=True)) == {}
    assert toggle({}, "orders", ON) == {"orders": ON}
    assert toggle({"orders": ON}, "orders", replace(ON, enabled=False))["orders"].enabled is False


def test_an_override_without_an_end_stays_for_ever() -> None:
    assert settle({"orders": OFF}, {"orders": True}, now=9e9) == ({"orders": OFF}, [])


def test_an_override_ends_when_its_time_is_over_and_not_before() -> None:
    timed = {"orders": replace(OFF, until=200.0)}
    assert settle(timed, {"orders": True}, now=199.9) == (timed, [])
    kept, ended = settle(timed, {"orders": True}, now=200.0)
    assert kept == {}
    assert [(e.name, e.why) for e in ended] == [("orders", "its time is over")]


def test_an_override_ends_when_that_very_key_is_edited() -> None:
    kept, ended = settle({"orders": OFF, "task1": OFF}, {"orders": False, "task1": True}, now=150.0)
    assert list(kept) == ["task1"]
    assert ended[0].why == "enabled was set to false in config.toml since"


def test_a_table_that_is_away_for_one_reload_does_not_come_back_enabled() -> None:
    kept, ended = settle({"orders": OFF}, {}, now=150.0)
    assert ended == []
    assert settle(kept, {"orders": True}, now=160.0) == ({"orders": OFF}, [])


def test_the_next_end_is_the_earliest() -> None:
    assert next_end({"a": OFF}) is None
    assert next_end({"a": OFF, "b": replace(OFF, until=300.0), "c": replace(OFF, until=250.0)}) == 250.0


def test_status_shows_times_in_utc() -> None:
    assert public(replace(OFF, until=3600.5)) == {
        "enabled": False,
        "who": "alice",
        "since": "1970-01-01T00:01:40.000Z",
        "until": "1970-01-01T01:00:00.500Z",
        "note": "migration",
    }
    assert public(OFF)["until"] is None


@given(_overrides)
def test_what_was_written_is_read(overrides: dict[str, Override]) -> None:
    assert from_document(to_document(overrides)) == (overrides, [])


@given(_overrides, st.floats(0, 2e9), st.floats(0, 2e9))
def test_what_ended_once_has_ended_for_ever(overrides: dict[str, Override], first: float, later: float) -> None:
    configured = dict.fromkeys(overrides, True)
    kept, ended = settle(overrides, configured, min(first, later))
    assert kept.keys() | {e.name for e in ended} == overrides.keys()
    assert settle(kept, configured, max(first, later))[0].items() <= kept.items()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"version": 1}',
        b'{"version": 1, "toggles": []}',
        b'{"version": 2, "toggles": {}}',
        b'{"version": null, "toggles": {}}',
        b'{"toggles": {}}',
        b"[" * 100_000,
        b"9" * 5000,
        to_document({"orders": OFF})[:-20],
    ],
)
def test_a_document_of_another_kind_gives_no_overrides_and_one_problem(data: bytes) -> None:
    found, problems = from_document(data)
    assert found == {}
    assert len(problems) == 1


def _fields(**changes: Any) -> dict[str, Any]:
    return {**json.loads(to_document({"a": OFF}))["toggles"]["a"], **changes}


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        _fields(enabled="false"),
        _fields(enabled=0),
        _fields(config_enabled=None),
        _fields(who=5),
        _fields(note="x" * (MAX_TEXT + 1)),
        _fields(since="yesterday"),
        _fields(since=float("nan")),
        _fields(until=float("inf")),
        _fields(until=-1),
        _fields(until=10**400),
        _fields(since=True),
    ],
)
def test_one_toggle_that_cannot_be_understood_does_not_take_the_others_along(fields: object) -> None:
    document = {"version": 1, "toggles": {"broken": fields, "orders": _fields()}}
    found, problems = from_document(json.dumps(document).encode())
    assert found == {"orders": OFF}
    assert problems == ['the toggle of "broken" cannot be understood']


@pytest.mark.parametrize("name", ["", "../x", "Orders", "a" * 64, "a\x1b[31m", "a\n"])
def test_a_name_that_no_child_can_have_is_no_toggle(name: str) -> None:
    found, problems = from_document(json.dumps({"version": 1, "toggles": {name: _fields()}}).encode())
    assert found == {}
    assert problems[0].isprintable()


def test_a_key_of_a_later_release_is_passed_over() -> None:
    document = {"version": 1, "toggles": {"orders": _fields(reviewed_by="bob")}, "more": 1}
    assert from_document(json.dumps(document).encode()) == ({"orders": OFF}, [])


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    from_document(data)
