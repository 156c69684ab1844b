"""Whatever stands in config.toml: a plan, or a ConfigError that names what is wrong, printable and bounded."""

from __future__ import annotations

import copy
import datetime
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import assume, given
from hypothesis import strategies as st

from fuzz.shapes import FUZZ, MIB, damaged, hostile, printable, within
from supervisor.core import durations
from supervisor.core.config.load import load
from supervisor.core.config.problems import ConfigError
from supervisor.core.config.redact import url
from supervisor.core.spec import Plan, plan_from_json, plan_to_json

FULL = (Path(__file__).parents[1] / "unit" / "config" / "full.toml").read_bytes()
DATA = tomllib.loads(FULL.decode())
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "",
        "30s",
        "5x",
        "1h30m",
        "every",
        "m:f",
        "${HOME}",
        "${X",
        "${X:-y}",
        "\x1b[2J",
        "*/5 * * * *",
        "25:00",
        "no",
        "1" * 4000,
    ]
)
MOMENTS = [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.time(1, 2), datetime.date(2026, 1, 1)]
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | WORDS | st.sampled_from(MOMENTS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
)
Edit = Callable[[dict[str, Any]], None]


def loaded(data: bytes) -> Plan | ConfigError:
    try:
        return load(data, file="config.toml", env={"HOME": "/h", "X": "\x1b"}, project_dir="/project").plan
    except ConfigError as error:
        return error


def judge(data: bytes) -> None:
    found = loaded(data)
    if isinstance(found, ConfigError):
        assert found.problems
        assert len(found.problems) <= 101
        assert printable(str(found))
        assert all("\n" not in problem.text for problem in found.problems)
        assert json.dumps([problem.to_json() for problem in found.problems])
    else:
        assert json.dumps(plan_to_json(found))
        assert repr(plan_from_json(json.loads(json.dumps(plan_to_json(found))))) == repr(found)


def tables(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The document and all tables in it."""
    found = [data]
    for value in data.values():
        found += tables(value) if isinstance(value, dict) else []
    return found


@st.composite
def edited(draw: st.DrawFn) -> dict[str, Any]:
    """The full configuration with some keys of another value, missing, new, or moved to another table."""
    data = copy.deepcopy(DATA)
    for _ in range(draw(st.integers(1, 5))):
        table = draw(st.sampled_from(tables(data)))
        key = draw(st.sampled_from(sorted(table)) | WORDS) if table else draw(WORDS)
        how = draw(st.sampled_from(["set", "set", "drop", "move"]))
        if how == "set":
            table[key] = draw(VALUES)
        elif key in table and how == "drop":
            del table[key]
        elif key in table:
            value = copy.deepcopy(table[key])
            draw(st.sampled_from(tables(data)))[draw(st.sampled_from(sorted(table)) | WORDS)] = value
    return data


@FUZZ
@given(edited())
def test_any_edit_gives_a_plan_or_a_config_error(data: dict[str, Any]) -> None:
    try:
        text = tomlkit.dumps(data)
    except (ValueError, TypeError, RecursionError, AttributeError):  # what cannot be written cannot stand in a file
        assume(False)
        return
    judge(text.encode(errors="replace"))


@FUZZ
@given(st.dictionaries(st.sampled_from([*DATA, "x"]), VALUES, max_size=4))
def test_any_document_gives_a_plan_or_a_config_error(data: dict[str, Any]) -> None:
    try:
        text = tomlkit.dumps(data)
    except (ValueError, TypeError, RecursionError, AttributeError):
        assume(False)
        return
    judge(text.encode(errors="replace"))


@FUZZ
@given(damaged(st.just(FULL)) | st.binary(max_size=300) | hostile)
def test_any_bytes_give_a_plan_or_a_config_error(data: bytes) -> None:
    judge(data)


@FUZZ
@given(WORDS)
def test_any_text_is_a_duration_or_a_duration_error(text: str) -> None:
    try:
        seconds = durations.parse(text)
    except durations.DurationError:
        pass
    else:
        assert seconds >= 0
        assert durations.parse(durations.text(seconds)) == pytest.approx(seconds, abs=0.001)


@FUZZ
@given(WORDS, st.sampled_from(["http://u:{}@h/p", "https://h/{}", "{}", "http://{}", "h:9092,u:{}@x"]))
def test_any_address_can_be_shown(text: str, form: str) -> None:
    assert isinstance(url(form.replace("{}", text)), str)


HUGE = {
    "brackets": b"[" * MIB,
    "dots": b"a." * 500_000,
    "dotted lines": (b"a." * 199 + b"a=1\n") * 2_600,
    "quoted dots": b"[" + b'"a".' * 200_000,
    "quotes": b'"' * MIB,
    "lists": b"a = " + b"[" * 100_000,
    "tables": b"a = " + b"{a=" * 50_000,
    "text": b'a = "' + b"x" * MIB,
    "doubles": b"[tasks.a]\n" * 50_000,
}


@pytest.mark.parametrize("data", HUGE.values(), ids=list(HUGE))
def test_a_megabyte_of_anything_costs_a_bounded_piece_of_memory(data: bytes) -> None:
    with within(128 * MIB):
        judge(data)
