"""One log file, backwards and as it grows; rotated, cut, removed and made anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.cli.tail import BLOCK, LONGEST, Tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def append(path: Path, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


def rotate(path: Path, keep: int = 3) -> None:
    for number in range(keep - 1, 0, -1):
        if os.path.exists(f"{path}.{number}"):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    os.replace(path, f"{path}.1")
    path.touch()


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=20), max_size=50), st.booleans()
)
def test_backwards_gives_the_lines_the_latest_first(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ends: bool
) -> None:
    path = tmp_path_factory.mktemp("tail") / "a.log"
    path.write_text("\n".join(lines) + "\n" * ends)
    tail = Tail(str(path))
    found = list(tail.backwards())
    assert [*found[::-1], *([] if ends else [tail.partial()])] == (lines or [""])
    tail.close()


def test_lines_longer_than_a_block_come_whole(path: Path) -> None:
    lines = ["x" * (BLOCK + 3), "y", "z" * (2 * BLOCK)]
    path.write_text("\n".join(lines) + "\n")
    tail = Tail(str(path))
    assert list(tail.backwards()) == lines[::-1]
    tail.close()


def test_what_has_no_newline_for_long_is_several_lines_and_what_a_power_cut_left_is_none(path: Path) -> None:
    path.write_text("first\n" + "x" * (3 * LONGEST) + "\nlast\n")
    with open(path, "r+b") as file:
        file.truncate(1 << 25)  # NUL
    tail = Tail(str(path))
    found = list(tail.backwards())
    assert (found[0], found[-1]) == ("last", "first")
    assert max(map(len, found)) <= LONGEST + BLOCK
    assert "".join(reversed(found)) == "first" + "x" * (3 * LONGEST) + "last"
    tail.close()


@pytest.mark.parametrize("place", ["a.log", "a.log.1"])
@pytest.mark.parametrize("what", ["a folder", "a FIFO", "a link"])
def test_what_is_no_file_has_no_lines(path: Path, place: str, what: str) -> None:
    path.write_text("1\n")
    path.rename(path.with_name("elsewhere"))
    odd = path.with_name(place)
    if what == "a folder":
        odd.mkdir()
    elif what == "a FIFO":
        os.mkfifo(odd)
    else:
        odd.symlink_to(path.with_name("elsewhere"))
    if place != path.name:
        path.write_text("2\n")
    tail = Tail(str(path))
    assert list(tail.backwards()) == ([] if place == path.name else ["2"])
    assert tail.more() == []
    tail.close()


def test_backwards_goes_on_in_the_rotated_files(path: Path) -> None:
    append(path, "1\n2\n")
    rotate(path)
    append(path, "3\n")
    rotate(path)
    append(path, "4\n5")
    tail = Tail(str(path))
    assert (list(tail.backwards()), tail.partial()) == (["4", "3", "2", "1"], "5")
    tail.close()


def test_more_goes_on_where_backwards_began(path: Path) -> None:
    append(path, "1\nhal")
    tail = Tail(str(path))
    assert list(tail.backwards()) == ["1"]
    assert tail.more() == []
    append(path, "f\n3\n")
    assert tail.more() == ["half", "3"]
    assert tail.more() == []
    tail.close()


def test_a_rotation_between_two_looks_loses_no_line(path: Path) -> None:
    append(path, "1\n")
    tail = Tail(str(path))
    list(tail.backwards())
    append(path, "2\n")
    rotate(path)
    append(path, "3\n")
    assert tail.more() == ["2", "3"]
    tail.close()


def test_two_rotations_between_two_looks_lose_no_line(path: Path) -> None:
    append(path, "1\n")
    tail = Tail(str(path))
    list(tail.backwards())
    append(path, "2\n")
    rotate(path)
    append(path, "3\n")
    rotate(path)
    append(path, "4\n")
    assert tail.more() == ["2", "3", "4"]
    tail.close()


def test_a_file_that_was_cut_is_read_from_its_beginning(path: Path) -> None:
    append(path, "1\n2\n3\n")
    tail = Tail(str(path))
    list(tail.backwards())
    path.write_text("4\n")
    assert tail.more() == ["4"]
    tail.close()


def test_a_file_that_comes_later_is_found(path: Path) -> None:
    tail = Tail(str(path))
    assert list(tail.backwards()) == []
    assert tail.more() == []
    append(path, "1\n")
    assert tail.more() == ["1"]
    tail.close()


def test_a_removed_file_is_waited_for(path: Path) -> None:
    append(path, "1\n")
    tail = Tail(str(path))
    list(tail.backwards())
    path.unlink()
    assert tail.more() == []
    append(path, "2\n")
    assert tail.more() == ["2"]
    tail.close()


def test_what_is_no_utf8_is_shown_as_codes(path: Path) -> None:
    path.write_bytes(b"caf\xe9 \xc3\xa9\n")
    tail = Tail(str(path))
    assert list(tail.backwards()) == [r"caf\xe9 é"]
    tail.close()
