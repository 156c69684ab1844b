"""The parent's end of the FIFO that web processes hold open, with a clock of the test's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.held import CONSOLE_FD, FIRST, LINGER, WHILE_HELD
from supervisor.fastapi.fifo import Fifo
from supervisor.parent import keepers
from supervisor.parent.keepers import Keepers


@contextmanager
def kept(path: Path, *, needed: bool = True) -> Iterator[Keepers]:
    made = Keepers(str(path), needed=needed)
    try:
        yield made
    finally:
        made.close()


def hold(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK)


def test_it_ends_a_while_after_the_last_holder_left(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path) as made:
        first, second = hold(path), hold(path)
        assert not made.all_gone(100.0)
        os.close(first)
        assert not made.all_gone(1000.0), "one is left"
        os.close(second)
        assert not made.all_gone(1000.0 + LINGER - 0.1)
        assert made.all_gone(1000.0 + LINGER)


def test_one_that_comes_back_in_time_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path) as made:
        os.close(hold(path))
        assert not made.all_gone(100.0)
        back = hold(path)
        assert not made.all_gone(200.0)
        os.close(back)
        assert not made.all_gone(200.1)
        assert made.all_gone(200.0 + LINGER)


def test_the_first_one_may_take_its_time(tmp_path: Path) -> None:
    with kept(tmp_path / "keepers") as made:
        assert not made.all_gone(100.0)
        assert not made.all_gone(100.0 + FIRST - 0.1)
        assert made.all_gone(100.0 + FIRST)


def test_started_by_hand_it_needs_nobody_but_can_be_held(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path, needed=False) as made:
        os.close(hold(path))
        assert not made.all_gone(100.0)
        assert not made.all_gone(1e9)


def test_one_who_came_and_left_between_two_looks_was_there(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path) as made:
        fifo = Fifo(str(tmp_path / "config.toml"))
        (tmp_path / ".supervisor").symlink_to(tmp_path)  # where it looks for the FIFO
        assert fifo.hold()
        fifo.release()
        assert not made.all_gone(100.0)
        assert made.all_gone(100.0 + LINGER)


def test_what_is_written_into_it_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path) as made:
        writer = hold(path)
        os.write(writer, b"x" * 65536)
        assert not made.all_gone(100.0)
        assert not made.all_gone(200.0)
        os.close(writer)
        assert made.all_gone(200.0 + LINGER)


def test_what_a_killed_supervisor_left_is_taken_over_with_those_who_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    killed = os.open(_made(path), os.O_RDONLY | os.O_NONBLOCK)
    holder = hold(path)
    os.close(killed)
    with kept(path) as made:
        assert not made.all_gone(100.0)
        assert not made.all_gone(100.0 + FIRST + 1), "it is held, though nobody opened it again"
    os.close(holder)


def test_a_removed_one_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path) as made:
        path.unlink()
        assert not made.all_gone(100.0)
        holder = hold(path)
        assert not made.all_gone(200.0)
        assert not made.all_gone(300.0)
        os.close(holder)


def test_an_orderly_end_takes_its_name_away(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    with kept(path):
        assert path.is_fifo()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_something_else_of_that_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keepers"
    for make in (path.touch, path.mkdir, lambda: path.symlink_to("/dev/null")):
        make()
        with pytest.raises(SupervisorError, match=r"keepers: expected a FIFO, found something else; remove it"):
            Keepers(str(path), needed=True)
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(SupervisorError, match="cannot make the FIFO"):
        Keepers(str(tmp_path / "gone" / "keepers"), needed=True)


def test_what_the_web_process_said_is_taken_out_of_the_environment() -> None:
    env = {WHILE_HELD: "1", CONSOLE_FD: "nonsense", "HOME": "/"}
    assert keepers.needed(env)
    fd = keepers.console(env)
    assert os.path.samestat(os.fstat(fd), os.fstat(2)), "a bad number: its own stderr"
    os.close(fd)
    assert env == {"HOME": "/"}
    assert not keepers.needed(env)


def _made(path: Path) -> Path:
    os.mkfifo(path)
    return path
