"""Whatever stands in a file of the state folder: it is read for what it is worth, said, and never an error of ours."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.shapes import FUZZ, MIB, damaged, hostile, printable, texts, values, within
from supervisor import logs
from supervisor.cli import crash_report
from supervisor.cli import events as told
from supervisor.core import journal, overrides
from supervisor.core.errors import AlreadyRunning, SupervisorError
from supervisor.core.escape import escape, line
from supervisor.core.kafka import address
from supervisor.parent import lock
from supervisor.parent.events import Events
from supervisor.parent.journal import Journal
from supervisor.parent.overrides import Toggles

OVERRIDE = {"enabled": True, "config_enabled": False, "who": "a", "since": 1.0, "until": None, "note": ""}
EVENT = {"time": 1.0, "what": "up", "name": "a"}
LOCK = {"pid": 1, "run_id": "a", "since": "now", "socket": "s", "unswept": ["b"]}
SAID = {"seq": 1, "time": "2026-11-25T14:02:41.440Z", "level": "info", "child": "a", "text": "t", "traceback": "x"}
REPORT = {
    "child": "a",
    "time": 1.0,
    "reason": "r",
    "cause": "crash",
    "pid": 1,
    "signal": 9,
    "code": 1,
    "lived": 2.0,
    "phase": "p",
    "subject": "s",
    "for": 1.0,
    "budget": 2.0,
    "offset": 3,
    "partition": 1,
    "failures": [],
    "rss": [],
    "cpu": [],
    "config": {},
    "stacks": "",
    "log": [],
    "environment": {},
    "versions": {},
}


def like(good: dict[str, object]) -> st.SearchStrategy[dict[str, object]]:
    """An object of that kind, some of its values others."""
    return st.builds(lambda changed: {**good, **changed}, st.dictionaries(st.sampled_from(sorted(good)), values))


def written(good: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[bytes]:
    as_bytes = good.map(lambda value: json.dumps(value).encode())
    return as_bytes | damaged(as_bytes) | hostile | st.binary(max_size=200)


toggles = st.dictionaries(texts | st.just("a"), like(OVERRIDE) | values, max_size=4)
documents = st.builds(lambda found: {"version": 1, "toggles": found}, toggles) | values.map(lambda v: {"toggles": v})
event_lines = st.lists(written(like(EVENT)), max_size=8).map(b"\n".join)
said_lines = st.lists(written(like(SAID)), max_size=6).map(b"\n".join)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        yield Path(made)


@FUZZ
@given(written(documents))
def test_any_toggles_are_loaded_or_said_and_what_was_understood_can_be_written_again(data: bytes) -> None:
    found, problems = overrides.from_document(data)
    assert all(isinstance(problem, str) for problem in problems)
    assert overrides.from_document(overrides.to_document(found)) == (found, [])
    for override in found.values():
        assert json.dumps(overrides.public(override))
        assert overrides.enabled(True, override) in (True, False)
    overrides.settle(found, {"a": True}, 1e9)
    with folder() as where:
        (where / "toggles.json").write_bytes(data)
        loaded = Toggles(str(where / "toggles.json"), stamp="now")
        assert loaded.current == found
        assert len(loaded.notes) == bool(problems)
        assert (where / "toggles.json").exists() != bool(problems), "moved aside exactly when something is lost"


@FUZZ
@given(event_lines)
def test_any_journal_is_read_for_what_it_is_worth_and_goes_on(data: bytes) -> None:
    with folder() as where:
        path = where / "journal.jsonl"
        path.write_bytes(data)
        written_on = Journal(str(path), stamp="now")
        written_on.up(2e9)
        written_on.toggle("a", enabled=False, now=2e9 + 1)
        lines = path.read_bytes().decode(errors="replace").splitlines()
    assert journal.toggles(lines)["a"] is False
    for periods in (journal.down_periods(lines), journal.disabled_periods(lines, "a")):
        assert all(start < end and not math.isnan(start + end) for start, end in periods)
    shorter = journal.compact(lines, 400)
    assert journal.toggles(shorter) == journal.toggles(lines)
    assert journal.compact(shorter, 10**6) is not None


@FUZZ
@given(said_lines, texts)
def test_any_file_of_events_is_gone_on_with_and_shown(data: bytes, text: str) -> None:
    with folder() as where:
        path = where / "events.jsonl"
        path.write_bytes(data)
        events = Events(str(path), stamp="now")
        before = events.seq
        assert 0 <= before < 1 << 53
        events.add("info", "a", text, reason=text)
        assert events.seq == before + 1
        lines = path.read_text(errors="replace").split("\n")
    assert lines[-1] == ""
    assert told.parse(lines[-2]) is not None
    for each in lines:
        event = told.parse(each)
        if event:
            assert printable(logs.console(event, colour=False))
            assert len(logs.json_line(event)) <= logs.MAX_LINE
        assert printable(logs.console(logs.parse(each, child="b"), colour=False))
        assert logs.parse(each, child="b")["child"] == "b"


@FUZZ
@given(written(like(LOCK)))
def test_any_lock_file_is_taken_and_its_words_are_fit_to_be_printed(data: bytes) -> None:
    with folder() as where:
        path = str(where / "lock")
        (where / "lock").write_bytes(data)
        found = lock.read_lock(path)
        assert found is None or isinstance(found, dict)
        held = lock.acquire(path, "new", pid=os.getpid(), since="then")
        assert all(isinstance(run, str) for run in held.unswept)
        assert len(held.unswept) <= 16
        (where / "lock").write_bytes(data)  # by whoever else may write there
        try:
            with pytest.raises(AlreadyRunning) as refused:
                lock.acquire(path, "third", pid=os.getpid(), since="then")
        finally:
            held.release()
        assert printable(str(refused.value))
        assert len(str(refused.value)) < 5000


@FUZZ
@given(written(like(REPORT)))
def test_any_report_of_a_death_is_shown_or_refused_in_one_line(data: bytes) -> None:
    with folder() as where:
        (where / "a-1.json").write_bytes(data)
        try:
            found = crash_report.read(str(where / "a-1.json"))
        except SupervisorError as refused:
            found = {"reason": str(refused)}
            assert len(found["reason"].splitlines()) == 1
    assert all(printable(each) and "\n" not in each for each in crash_report.lines(found, "/project"))


@FUZZ
@given(written(like({"bootstrap": "a:1", "pid": 1})).map(lambda data: data.decode(errors="replace")))
def test_any_address_of_a_broker_is_one_or_none(text: str) -> None:
    assert address.from_text(text) is None or isinstance(address.from_text(text), address.Address)


@FUZZ
@given(st.text(st.characters(codec=None), max_size=300))
def test_whatever_is_escaped_is_one_line_and_stays_so(text: str) -> None:
    for shown in (escape(text), line(text)):
        assert printable(shown)
        assert "\n" not in shown
        assert shown.encode().decode() == shown
    assert escape(escape(text)) == escape(text)


@FUZZ
@given(
    st.dictionaries(
        st.sampled_from(["text", "level", "child", "reason", "traceback", "event", "to", "time"]) | texts, values
    )
)
def test_any_record_of_a_log_is_one_bounded_line_of_json_and_fit_for_a_terminal(record: dict[str, object]) -> None:
    made = logs.json_line(record)
    assert made.isascii()
    assert "\n" not in made
    assert len(made) <= logs.MAX_LINE
    json.loads(made)
    assert printable(logs.console(record, colour=False))


HUGE = {
    "toggles": lambda data: overrides.from_document(data),
    "journal": lambda data: journal.down_periods(data.decode(errors="replace").splitlines()),
    "events": lambda data: [told.parse(each) for each in data.decode(errors="replace").splitlines()],
}


@pytest.mark.parametrize("reader", HUGE.values(), ids=list(HUGE))
@pytest.mark.parametrize("data", [b"[" * MIB, b'{"a":' * 200_000, b"9" * MIB, b'{"time":1,"what":"up"}\n' * 40_000])
def test_a_megabyte_of_anything_costs_a_bounded_piece_of_memory(reader: object, data: bytes) -> None:
    with within(64 * MIB):
        reader(data)  # type: ignore[operator]
