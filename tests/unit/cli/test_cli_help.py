"""Help fits 80 columns, shows an example, and a typo is answered with a suggestion."""

from __future__ import annotations

import pytest

from supervisor import cli
from supervisor.cli.group import GROUPS

VERBS = [verb for group in GROUPS.values() for verb in group]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_fits_and_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert f"Example:\n  {'eval' if verb == 'completion' else f'supervisor {verb}'}"[:20] in shown
    assert "--config FILE" in shown


def test_the_first_help_shows_the_verbs_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute([]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert [line for line in shown.splitlines() if line in ("Run:", "Observe:", "Control:", "Setup:")] == [
        f"{group}:" for group in GROUPS
    ]
    assert all(f"\n  {verb} " in shown for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stauts"], "error: there is no command 'stauts'. Did you mean 'status'?\n  more: supervisor --help\n"),
        (
            ["status", "--jsn"],
            "error: No such option '--jsn'. Did you mean '--json'?\n  more: supervisor status --help\n",
        ),
        (["status", "--wait", "5x"], 'expected a duration like "30s", "5m" or "1h30m", found "5x"'),
        (["run", "a", "--slot", "1795000000000"], 'expected a time like "2026-11-25T14:00:00Z", got "1795000000000"'),
        (["run", "a", "--slot", "noon"], 'expected a time like "2026-11-25T14:00:00Z", got "noon"'),
        (["status", "--live"], "--live goes with --check"),
        (["disable", "a", "--save", "--for", "1h"], "--save writes enabled = false"),
        (["restart"], "Missing argument 'NAME...'"),
    ],
)
def test_bad_usage_ends_with_two_and_says_what_was_meant(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.execute(arguments) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err


@pytest.mark.parametrize("verb", ["config", "completion"])
def test_a_verb_that_must_be_told_what_shows_its_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute([verb]) == 2
    found = capsys.readouterr()
    assert cli.execute([verb, "--help"]) == 0
    assert (found.out, found.err) == ("", capsys.readouterr().out)
    assert "\t" not in found.err


def test_config_says_what_it_can_show_each_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["config"]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert "  show    every value with its default, secrets hidden" in shown
    assert "  schema  the JSON schema of config.toml, for editors" in shown


def test_a_bug_of_ours_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(GROUPS["Observe"], "status", ("nowhere", ""))
    monkeypatch.setattr("supervisor.cli.group._VERBS", {"status": ("nowhere", "")})
    assert cli.execute(["status"]) == 70
    said = capsys.readouterr().err
    assert "a bug of ours" in said
    assert len(said.splitlines()) == 1
    monkeypatch.setenv("FORKWARDEN_DEBUG", "1")
    with pytest.raises(ModuleNotFoundError):
        cli.execute(["status"])
