"""What README.md, CONTRIBUTING.md and config.toml show to people is true: the commands exist, the snippets parse."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib

import click
import pytest

from supervisor.cli import INTERRUPTED
from supervisor.cli.group import cli
from supervisor.core.errors import Exit
from support.house import ROOT
from support.readme import between, blocks, commands, commands_table, first_command, test_command

TEXTS = ["README.md", "CONTRIBUTING.md"]


def test_the_readme_begins_with_one_command_that_runs_and_one_that_tests() -> None:
    assert first_command().endswith(".venv/bin/supervisor start")
    assert test_command().endswith(".venv/bin/pytest -n 4 --dist worksteal")


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert script[-1] == test_command()
    assert script[0] == "#!/usr/bin/env bash"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111 == 0o111


def test_contributors_are_told_the_same_test_command() -> None:
    assert test_command() in (ROOT / "CONTRIBUTING.md").read_text()


def test_both_commands_need_nothing_but_python_and_a_checkout() -> None:
    for command in (first_command(), test_command()):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


@pytest.mark.parametrize("text", TEXTS)
def test_python_and_toml_snippets_parse(text: str) -> None:
    for snippet in blocks(text, "python"):
        ast.parse(snippet)
    for snippet in blocks(text, "toml"):
        tomllib.loads(snippet)


@pytest.mark.parametrize("command", commands("README.md", "CONTRIBUTING.md", "config.toml"))
def test_every_command_that_people_are_shown_exists(command: str) -> None:
    verb, *arguments = shlex.split(command)[1:] or [""]
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None, f"there is no {command!r}"
    options = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    asked = [argument for argument in arguments if re.fullmatch(r"--?[a-z][a-z-]*", argument)]
    assert set(asked) <= options, f"{command!r}: {verb} has {sorted(options)}"


def test_the_table_of_commands_is_the_commands_own() -> None:
    """After a change: python -c "from support.readme import commands_table; print(commands_table())" in tests/."""
    assert between("commands") == commands_table()


def test_the_exit_codes_are_the_commands_own() -> None:
    told = (ROOT / "README.md").read_text().partition("\nExit codes: ")[2].partition("`start` ends")[0]
    codes = [int(each.split()[0]) for each in told.split("·")]
    childs = {Exit.TEMPFAIL, Exit.CONFIG}  # what a child says to the supervisor, never the command to a shell
    assert codes == [*(each for each in Exit if each not in childs), INTERRUPTED]
    assert "that does not answer" in told.partition("· 5 ")[2]  # a frozen supervisor ends `status` with 5, too


def test_the_reference_of_the_configuration_is_up_to_date() -> None:
    """After a change: python -m supervisor.core.config.reference."""
    command = [sys.executable, "-m", "supervisor.core.config.reference"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert between("config-reference") == printed.strip()
