"""Nothing that others wrote reaches the terminal as a control."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.escape import escape, line


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain text", "plain text"),
        ("a\tb", "a\tb"),
        ("a\nb", r"a\x0ab"),
        ("a\rb", r"a\x0db"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x7f", r"\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp", r"\u202egnp"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("\u200f\u200e", r"\u200f\u200e"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\udcff"),
        ("naïve ✓ 東京", "naïve ✓ 東京"),
    ],
)
def test_controls_become_visible_codes_and_text_stays(given: str, shown: str) -> None:
    assert escape(given) == shown


def test_a_line_is_one_line_without_tabs() -> None:
    assert line("first\n\tsecond  third\x07 ") == r"first second third\x07"


@given(st.text(st.characters(codec=None)))
def test_no_control_survives(text: str) -> None:
    for shown in (escape(text), line(text)):
        assert all(c == "\t" or ord(c) >= 0x20 for c in shown)
        assert not any(0x7F <= ord(c) <= 0x9F for c in shown)
        assert len(shown.splitlines()) <= 1
        shown.encode()  # it can be written
    assert "\t" not in line(text)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert escape(text) == text
