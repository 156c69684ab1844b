"""Texts of others: the one line that says it, cut and wrapped between words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.prose import _last, gist, middle, shorten, wrap
from supervisor.core.words import width

PSYCOPG = """\
(psycopg.OperationalError) connection failed: connection to server at "127.0.0.1", port 5432 failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?
(Background on this error at: https://sqlalche.me/e/20/e3q8)"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PSYCOPG, PSYCOPG.splitlines()[0]),
        ("unavailable: no (Background on this error at: https://sqlalche.me/e/20/e3q8)", "unavailable: no"),
        ('Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: no', "ValueError: no"),
        (
            f'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\nError: {PSYCOPG}',
            f"Error: {PSYCOPG.splitlines()[0]}",
        ),
        ("Traceback\nValueError: no", "ValueError: no"),
        ("Traceback", "Traceback"),
        ("\n  first \nsecond", "first"),
        (" \n", ""),
    ],
)
def test_the_gist_of_an_error_is_its_own_first_line(error: str, said: str) -> None:
    assert gist(error) == said


def test_a_text_is_cut_at_a_word() -> None:
    assert shorten("off by alice, 2h left: db migration", 24) == "off by alice, 2h left…"
    assert shorten("off by alice, 2h left", 21) == "off by alice, 2h left"
    assert shorten("x" * 30, 10) == "x" * 9 + "…"


def test_of_a_reason_the_middle_goes() -> None:
    assert middle("ConnectionError: db:5432 refused the connection of app", 36) == "ConnectionError…connection of app"
    assert middle("short", 36) == "short"


def test_an_end_that_fits_is_whole() -> None:
    assert _last("port 5432 failed", 80) == "port 5432 failed"


def test_what_is_long_goes_on_behind_its_indent() -> None:
    assert wrap("one two three four", 12, hanging=2) == ["one two", "  three four"]
    assert wrap("one  two", 20) == ["one  two"]
    assert wrap("one two", None) == ["one two"]
    assert wrap("x" * 25, 12, hanging=2) == ["x" * 12, "  " + "x" * 10, "  xxx"]


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.integers(12, 40), st.integers(0, 2))
def test_whatever_the_text_it_fits(text: str, columns: int, hanging: int) -> None:
    assert width(shorten(text, columns)) <= columns
    assert width(middle(text, columns)) <= columns
    assert all(width(each) <= columns for each in wrap(text, columns, hanging))


@given(st.text("ab ", max_size=80))
def test_wrapping_loses_no_word(text: str) -> None:
    assert "".join("".join(wrap(text, 12, hanging=2)).split()) == "".join(text.split())
