"""When a web process starts the supervisor, when it waits, what it says. Real FIFOs, a clock of the test's."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.core.held import LINGER
from supervisor.fastapi.keeper import BASE, CAP, EVERY, STABLE, START_WITHIN, Keeper
from supervisor.fastapi.start import Start
from supervisor.fastapi.turn import WITHIN, Turn
from support.eventually import eventually


class World:
    """Supervisors are FIFOs that this test reads; their starts are programs of one line."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.toml"
        self.config.write_text("")
        self.fifo = folder / ".supervisor" / "keepers"
        self.fifo.parent.mkdir()
        self.now = 1000.0
        self.program = "exec sleep 600"
        self.starts: list[Start] = []
        self.keeper = self.another()
        self._reader = -1

    def another(self) -> Keeper:
        return Keeper(str(self.config), draw=lambda: 0.0, clock=lambda: self.now, start=self.start)

    def start(self, config: str) -> Start:
        assert config == str(self.config)
        self.starts.append(_Program(self.program))
        return self.starts[-1]

    def look(self, after: float = 0.0) -> float:
        self.now += after
        return self.keeper.look()

    def look_until_exit(self) -> None:
        """The latest start has ended, and the keeper saw it."""
        self.starts[-1].process.wait()
        self.look()

    def comes_up(self) -> None:
        if not self.fifo.exists():
            os.mkfifo(self.fifo)
        self._reader = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)

    def dies(self, *, orderly: bool = False) -> None:
        if orderly:
            self.fifo.unlink()
        os.close(self._reader)
        self._reader = -1

    def clean(self) -> None:
        self.keeper.release()
        if self._reader >= 0:
            os.close(self._reader)
        for start in self.starts:
            start.kill()
            start.process.wait()
            start.close()


class _Program(Start):
    """A start with another program in place of `supervisor start`."""

    def __init__(self, program: str) -> None:
        self._said = b""
        self._pipe, stderr = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        self.process = subprocess.Popen(["sh", "-c", program], stderr=stderr, start_new_session=True)
        os.close(stderr)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.clean()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "supervisor.fastapi")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_running_supervisor_is_held_and_none_is_started(world: World, said: Callable[[], list[str]]) -> None:
    world.comes_up()
    assert world.look() == EVERY
    assert world.keeper.problem == ""
    assert (world.starts, said()) == ([], [])


def test_none_is_there_so_one_is_started_and_held_when_it_is_up(world: World) -> None:
    assert world.look() < EVERY
    assert world.look(after=START_WITHIN - 1) < EVERY
    assert world.keeper.problem == "the supervisor is starting"
    world.comes_up()
    assert world.look() == EVERY
    assert world.keeper.problem == ""
    assert len(world.starts) == 1


def test_a_start_that_fails_is_tried_again_later_and_later_but_told_once(
    world: World, said: Callable[[], list[str]]
) -> None:
    world.program = "echo 'error: no place for the state folder' >&2; exit 1"
    waits = []
    for _ in range(8):
        world.look()
        world.look_until_exit()
        begun, failed_at = len(world.starts), world.now
        while len(world.starts) == begun:
            world.look(after=0.5)
        waits.append(world.now - failed_at)
    assert waits == [BASE, 2, 4, 8, 16, CAP, CAP, CAP]
    assert world.keeper.problem == "the supervisor does not start: no place for the state folder"
    assert said() == [world.keeper.problem]


def test_a_change_of_config_toml_is_a_reason_to_try_at_once(world: World) -> None:
    world.program = "echo 'config.toml:3: wrong' >&2; exit 2"
    world.look()
    world.look_until_exit()
    world.look()
    assert len(world.starts) == 1
    world.config.write_text("# mended")
    world.look()
    assert len(world.starts) == 2


def test_a_start_that_hangs_is_killed(world: World) -> None:
    world.look()
    world.look(after=START_WITHIN)
    assert eventually(world.starts[0].process.poll) == -signal.SIGKILL
    assert "did not come up within" in world.keeper.problem


def test_a_died_supervisor_is_started_again_and_that_is_said(world: World, said: Callable[[], list[str]]) -> None:
    world.comes_up()
    world.look()
    world.dies()
    world.look()
    assert world.keeper.problem == "the supervisor died; it is started again"
    world.look()
    assert world.starts == []
    world.look(after=BASE)
    assert len(world.starts) == 1
    assert said() == ["the supervisor died while this web server runs; starting it again"]
    world.comes_up()
    assert world.look() == EVERY


def test_one_that_dies_again_and_again_is_started_later_and_later_until_it_was_stable(world: World) -> None:
    def wait_after_death() -> float:
        world.dies()
        world.look()
        died_at, begun = world.now, len(world.starts)
        while len(world.starts) == begun:
            world.look(after=0.5)
        world.comes_up()
        world.look()
        return world.now - died_at

    world.comes_up()
    world.look()
    assert [wait_after_death() for _ in range(4)] == [BASE, 2, 4, 8]
    world.look(after=STABLE)
    assert wait_after_death() == BASE


def test_one_that_was_stopped_gets_a_moment_longer(world: World, said: Callable[[], list[str]]) -> None:
    world.comes_up()
    world.look()
    world.dies(orderly=True)
    world.look()
    world.look(after=LINGER - 0.1)
    assert world.starts == []
    world.look(after=0.2)
    assert len(world.starts) == 1
    assert said() == ["the supervisor was stopped while this web server runs; starting it again"]


def test_a_fifo_that_was_made_again_is_no_death(world: World, said: Callable[[], list[str]]) -> None:
    world.comes_up()
    world.look()
    world.dies(orderly=True)
    world.comes_up()
    world.look()
    assert world.keeper.problem == ""
    assert (world.starts, said()) == ([], [])


def test_one_at_a_time_starts_and_the_others_wait(world: World) -> None:
    other = world.another()
    world.look()
    other.look()
    assert len(world.starts) == 1
    world.comes_up()
    world.look()
    assert other.look() == EVERY
    other.release()
    assert len(world.starts) == 1


def test_a_killed_starter_gives_its_turn_to_another(world: World) -> None:
    other = world.another()
    world.look()
    other.look()
    world.keeper.release()  # as the kernel does with its descriptors
    other.look()
    assert len(world.starts) == 2
    other.release()


def test_a_lock_of_somebody_elses_on_config_toml_does_not_hold_it_up_for_ever(world: World) -> None:
    foreign = Turn(str(world.config))
    assert foreign.take(0.0)
    world.look()
    world.look(after=WITHIN - 1)
    assert world.starts == []
    world.look(after=2)
    assert len(world.starts) == 1
    foreign.give_back()


def test_another_that_is_just_starting_is_not_worth_a_line_unless_it_never_does(
    world: World, said: Callable[[], list[str]]
) -> None:
    world.program = "echo 'error: already running: pid 1 since then' >&2; exit 1"
    for _ in range(4):
        world.look(after=CAP)
        world.look_until_exit()
    assert said() == []
    world.look(after=CAP)
    world.look_until_exit()
    assert said() == ["the supervisor does not start: already running: pid 1 since then"]


def test_what_the_start_warned_of_is_said_when_it_runs(world: World, said: Callable[[], list[str]]) -> None:
    world.program = "echo 'warning: config.toml is old' >&2; exec sleep 600 2>&-"
    world.look()
    eventually(lambda: (world.look(), world.starts[0].said())[1])
    world.comes_up()
    world.look()
    assert said() == ["the supervisor runs, but: warning: config.toml is old"]


def test_what_it_says_is_one_line_and_escaped(world: World) -> None:
    said = r"config.toml:3: one\033[31m\n    3 | x\nconfig.toml:4: two\n2 errors, nothing was started\n"
    world.program = f"printf '{said}' >&2; exit 2"
    world.look()
    world.look_until_exit()
    wanted = r"config.toml:3: one\x1b[31m (2 errors, nothing was started)"
    assert world.keeper.problem == f"the supervisor does not start: {wanted}"


def test_something_that_is_no_fifo_is_not_held(world: World) -> None:
    world.fifo.write_text("")
    world.look()
    assert len(world.starts) == 1
    assert world.fifo.read_text() == ""
