"""Ninety-seven equal lines are one line and a count."""

from __future__ import annotations

from supervisor.core.kafka.folding import Fold


def test_a_new_line_is_shown_at_once_and_its_repetitions_as_a_count() -> None:
    fold = Fold(window=5.0)
    assert fold.add("connect to 127.0.0.1:9092 failed", 0.0) == ["connect to 127.0.0.1:9092 failed"]
    for n in range(97):
        assert fold.add(f"connect to 127.0.0.1:{n} failed", 0.01 * n) == []
    assert fold.due(5.0) == ["connect to 127.0.0.1:96 failed (×97 in 5 s)"]


def test_another_line_shows_what_is_due() -> None:
    fold = Fold(window=5.0)
    fold.add("a", 0.0)
    fold.add("a", 1.0)
    assert fold.add("b", 6.0) == ["a (×1 in 6 s)", "b"]


def test_counting_goes_on_and_a_line_that_stays_away_is_forgotten() -> None:
    fold = Fold(window=5.0)
    fold.add("a", 0.0)
    fold.add("a", 1.0)
    assert fold.due(5.0) == ["a (×1 in 5 s)"]
    assert fold.add("a", 6.0) == []
    assert fold.due(10.0) == ["a (×1 in 5 s)"]
    assert fold.due(15.0) == []
    assert fold.add("a", 16.0) == ["a"]


def test_it_remembers_so_many_lines_and_no_more() -> None:
    fold = Fold(most=2)
    for text in ("a", "b", "c"):
        fold.add(text, 0.0)
    assert fold.add("c", 0.0) == []
    assert fold.add("a", 0.0) == ["a"]
