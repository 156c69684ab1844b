"""The user's module and function: which of the two is wrong, and whether a retry can mend it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.child.loader import LoadError, load, place


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """A user's folder, first in sys.path as in a child."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def error(target: str) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load(target)
    return caught.value


def test_a_function_is_found_also_inside_a_class(write: Callable[[str, str], None]) -> None:
    write("mine/mail.py", "def send(): return 'sent'\nclass Box:\n    @staticmethod\n    def empty(): return 'empty'\n")
    assert load("mine.mail:send")() == "sent"
    assert load("mine.mail:Box.empty")() == "empty"


@pytest.mark.parametrize("target", ["mine", "mine:", ":send", ""])
def test_a_target_has_two_parts(target: str) -> None:
    assert 'expected "package.module:function"' in str(error(target))


def test_a_missing_module_is_named_with_its_neighbour(write: Callable[[str, str], None]) -> None:
    write("mine/__init__.py", "")
    write("mine/mail.py", "")
    found = error("mine.mial:send")
    assert 'there is no module "mine.mial"; did you mean "mail"?' in str(found)
    assert found.permanent
    assert found.exit == 78
    assert 'no module "nowhere_at_all"' in str(error("nowhere_at_all.mail:send"))


def test_a_broken_import_inside_is_not_taken_for_a_missing_module(write: Callable[[str, str], None]) -> None:
    write("mine2.py", "import os\nimport not_installed_here\n")
    found = error("mine2:send")
    assert 'mine2 was found, but it imports "not_installed_here", which is not installed (mine2.py:2)' in str(found)
    assert found.permanent


def test_a_missing_name_inside_is_told_with_its_line(write: Callable[[str, str], None]) -> None:
    write("mine3.py", "from os import no_such_name\n")
    found = error("mine3:send")
    assert "mine3 was found, but it fails to import" in str(found)
    assert "mine3.py:1" in str(found)
    assert found.permanent


def test_a_missing_function_is_named_with_its_neighbour(write: Callable[[str, str], None]) -> None:
    write("mine4.py", "def deliver(): ...\n")
    found = error("mine4:delivr")
    assert 'module mine4 (mine4.py) has no "delivr"; did you mean "deliver"?' in str(found)
    assert found.permanent


def test_what_is_no_function_is_said(write: Callable[[str, str], None]) -> None:
    write("mine5.py", "deliver = 'text'\n")
    assert "expected a function, found a str" in str(error("mine5:deliver"))


def test_a_syntax_error_has_its_file_and_line(write: Callable[[str, str], None]) -> None:
    write("mine6.py", "def ok(): ...\n\ndef broken(:\n")
    found = error("mine6:ok")
    assert "mine6.py:3: SyntaxError: " in str(found)
    assert found.permanent


@pytest.mark.parametrize("code", ["raise ConnectionError('refused')", "import sys; sys.exit(3)", "raise SystemExit"])
def test_what_a_module_raises_may_be_over_at_the_next_try(write: Callable[[str, str], None], code: str) -> None:
    write("mine7.py", f"x = 1\n{code}\n")
    found = error("mine7:send")
    assert "importing mine7 raised " in str(found)
    assert "(mine7.py:2)" in str(found)
    assert not found.permanent
    assert found.exit == 1


def test_the_place_of_an_error_is_the_users_own_innermost_line(
    write: Callable[[str, str], None], tmp_path: Path
) -> None:
    write("mine8.py", "import json\ndef read():\n    return json.loads('{')\n")
    with pytest.raises(ValueError) as caught:
        load("mine8:read")()
    assert place(caught.value, str(tmp_path)) == "mine8.py:3"
    assert place(ValueError("never raised"), str(tmp_path)) == ""
