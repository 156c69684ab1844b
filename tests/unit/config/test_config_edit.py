from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.config.edit import add_table, set_enabled
from supervisor.core.errors import NoSuchChild, SupervisorError

FULL = (Path(__file__).parent / "full.toml").read_text()

COMMENTED = """\
# top
[tasks.a]   # about a
# first
run   = "m:f"      # aligned
enabled   = true   # the toggle

# about c
[consumers.c]
handler = "m:f"
"""


def enabled(text: str, section: str, name: str) -> Any:
    return tomllib.loads(text)[section][name]["enabled"]


def test_only_the_word_changes() -> None:
    assert set_enabled(COMMENTED, "a", False) == COMMENTED.replace("= true ", "= false ")


def test_a_missing_key_is_put_below_the_tables_header() -> None:
    assert set_enabled(COMMENTED, "c", False) == COMMENTED.replace(
        "[consumers.c]\n", "[consumers.c]\nenabled = false\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        'tasks = { a = { run = "x" } }\n',
        'tasks.a.run = "x"\ntasks.a.every = "1s"\n',
        '[tasks]\na.run = "x"\n\n[supervisor]\n',
        '[tasks]\na = { run = "x", enabled = true } # why\n',
        '[tasks.a]\nenabled = "${ON}" # why\n',
        "[tasks.a]",
        "[tasks.a.backoff]\nmax = '1s'\n[tasks.a]\nrun = 'x'\n",
        '[ "tasks" . a ]\nrun = "x"\n',
    ],
)
def test_every_way_to_write_a_table_can_be_changed(text: str) -> None:
    assert enabled(set_enabled(text, "a", False), "tasks", "a") is False
    assert enabled(set_enabled(set_enabled(text, "a", False), "a", True), "tasks", "a") is True
    assert text.count("why") == set_enabled(text, "a", False).count("why")


def test_line_ends_of_windows_stay() -> None:
    text = COMMENTED.replace("\n", "\r\n")
    assert set_enabled(text, "c", False).count("\n") == set_enabled(text, "c", False).count("\r\n") == 10
    assert "\r\n\r\n[tasks.z]\r\n" in add_table(text, "tasks", "z", {"run": "m:f"})


@given(st.sampled_from(["interval", "daily", "quarters", "once", "events", "far"]), st.booleans())
def test_a_toggle_there_and_back_loses_nothing(name: str, on: bool) -> None:
    once = set_enabled(FULL, name, on)
    assert set_enabled(once, name, on) == once
    assert [line for line in once.splitlines() if not line.startswith("enabled")] == [
        line for line in FULL.splitlines() if not line.startswith("enabled")
    ]


@pytest.mark.parametrize(
    ("text", "name"), [(COMMENTED, "b"), ("tasks = 3\n", "a"), ("[tasks]\na = 3\n", "a"), ("", "a")]
)
def test_an_unknown_name_is_refused(text: str, name: str) -> None:
    with pytest.raises(NoSuchChild, match=f'has no task and no consumer "{name}"'):
        set_enabled(text, name, True)


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(NoSuchChild, match=r'"event", did you mean "events"'):
        set_enabled(FULL, "event", True)


@pytest.mark.parametrize("text", ["[tasks.a", "x = " + "[" * 10_000, "x = " + "9" * 5000])
def test_what_is_no_toml_is_not_touched(text: str) -> None:
    with pytest.raises(SupervisorError, match="not valid, and was not changed"):
        set_enabled(text, "a", True)


def test_a_table_is_added_at_the_end() -> None:
    text = add_table(COMMENTED + "\n\n", "tasks", "mail", {"run": "tasks.mail:send", "every": "5m", "args": {"x": 1}})
    assert text.startswith(COMMENTED + '\n[tasks.mail]\nrun = "tasks.mail:send"\nevery = "5m"\n')
    assert tomllib.loads(text)["tasks"]["mail"] == {"run": "tasks.mail:send", "every": "5m", "args": {"x": 1}}


def test_a_table_is_added_to_an_empty_file() -> None:
    assert add_table("", "consumers", "c", {"handler": "m:f"}) == '[consumers.c]\nhandler = "m:f"\n'


def test_a_name_that_is_taken_is_not_added() -> None:
    with pytest.raises(SupervisorError, match='has a task or consumer "c" already'):
        add_table(COMMENTED, "tasks", "c", {})


def test_a_file_that_cannot_be_extended_is_left_alone() -> None:
    with pytest.raises(SupervisorError, match="change it by hand"):
        add_table("tasks = { a = { run = 'x' } }\n", "tasks", "b", {"run": "x"})
