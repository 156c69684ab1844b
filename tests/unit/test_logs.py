"""One event, one line: JSON in the files, aligned text on a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import logs

NOON = 1_795_615_361.44  # 2026-11-25T14:02:41.44Z


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_record_has_its_fields_in_reading_order() -> None:
    made = logs.record("started", child="task1", now=NOON, pid=7, event="started", from_="backoff", to="starting")
    assert list(made) == ["time", "level", "child", "pid", "event", "from", "to", "text"]
    assert made["time"] == "2026-11-25T14:02:41.440Z"
    assert made["from"] == "backoff"


def test_fields_that_are_none_are_left_out() -> None:
    assert set(logs.record("x", now=NOON, pid=None, reason=None)) == {"time", "level", "child", "text"}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"event": "ok", "text": "run 0.21s"}, "14:02:41.44 notifications  ✓ run 0.21s"),
        ({"event": "started", "text": "pid 7"}, "14:02:41.44 notifications  ▶ pid 7"),
        ({"to": "running", "text": "ready"}, "14:02:41.44 notifications  ● ready"),
        ({"to": "backoff", "text": "again in 2s"}, "14:02:41.44 notifications  ◐ again in 2s"),
        ({"event": "disabled", "text": "off"}, "14:02:41.44 notifications  ○ off"),
        ({"event": "stopping", "text": "bye"}, "14:02:41.44 notifications  ■ bye"),
        ({"event": "crash", "to": "backoff", "text": "died"}, "14:02:41.44 notifications  ✗ died"),
        ({"level": "error", "text": "no route"}, "14:02:41.44 notifications  ERROR no route"),
        ({"text": "hello"}, "14:02:41.44 notifications  hello"),
    ],
)
def test_the_console_form(fields: dict[str, str], shown: str) -> None:
    made = {"time": logs.stamp(NOON), "child": "notifications", **fields}
    assert logs.console(made, colour=False) == shown


def test_colour_paints_the_sign_only() -> None:
    made = logs.record("run 0.2s", child="a", now=NOON, event="failed")
    assert logs.console(made, colour=True) == "14:02:41.44 a              \x1b[31m✗\x1b[0m run 0.2s"


def test_a_line_without_a_time_keeps_its_columns() -> None:
    assert logs.console({"child": "a", "text": "print"}, colour=False) == f"{'':11} a              print"


def test_a_traceback_stands_behind_a_bar() -> None:
    made = logs.record("failed", child="a", now=NOON, traceback="Traceback:\n  File x\nE: 14:02:41.44 forged")
    lines = logs.console(made, colour=False).splitlines()
    assert [text[27:] for text in lines[1:]] == ["│ Traceback:", "│   File x", "│ E: 14:02:41.44 forged"]


def test_a_newline_in_the_text_forges_no_second_event() -> None:
    made = logs.record("one\n14:02:41.44 supervisor all is well", now=NOON)
    assert len(logs.console(made, colour=False).splitlines()) == 1
    assert len(logs.json_line(made).splitlines()) == 1


def test_a_long_line_is_cut_and_keeps_the_end_of_the_traceback() -> None:
    made = logs.record("text", now=NOON, traceback="Traceback\n" + "x" * 100_000 + "\nValueError: the point")
    line = logs.json_line(made)
    assert len(line) <= logs.MAX_LINE
    assert json.loads(line)["traceback"].endswith("ValueError: the point")
    assert json.loads(line)["text"] == "text"


def test_what_json_cannot_say_is_still_written() -> None:
    line = logs.json_line({"text": "x", "took": float("nan"), "key": {1: object()}})
    assert json.loads(line)["took"] is None


VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.text(st.characters(codec=None), max_size=50), st.binary())
RECORDS = st.dictionaries(
    st.one_of(st.sampled_from(["time", "level", "child", "text", "event", "to", "traceback", "reason"]), st.text()),
    st.one_of(VALUES, st.lists(VALUES, max_size=3), st.text().map(lambda t: t * 500)),
)


@given(RECORDS)
def test_any_record_becomes_one_bounded_ascii_line(made: dict[str, object]) -> None:
    line = logs.json_line(made)
    assert line.isascii()
    assert all(0x20 <= ord(c) < 0x7F for c in line)
    assert len(line) <= logs.MAX_LINE
    assert isinstance(json.loads(line), dict)


@given(RECORDS)
def test_any_record_is_harmless_on_a_terminal(made: dict[str, object]) -> None:
    shown = logs.console(made, colour=False)
    assert not any((ord(c) < 0x20 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F for c in shown)
    assert logs.console(made, colour=True).count("\x1b") % 2 == 0


def test_what_was_written_is_read_back() -> None:
    made = logs.record("run 0.21s", child="a", now=NOON, event="ok")
    assert logs.parse(logs.json_line(made), child="a") == made


@pytest.mark.parametrize("text", ["hello", "{not json", '{"a": 1}', '{"a":' * 50_000, '{"text": 5, "time": "x"}'])
def test_what_a_child_printed_itself_is_the_text(text: str) -> None:
    assert logs.parse(text, child="a") == {"child": "a", "text": text}
