"""Signals of the parent: readable bytes in its loop, and what each of them does to the real supervisor."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

from supervisor.parent.process import Ends, fork
from supervisor.parent.signals import Signals
from support.alone import alone
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive, state

TASK = """
[tasks.one]
run = "mine:tick"
every = "1h"
"""
CODE = NOTE + "def tick():\n    pass\n"


def installed() -> Signals:
    signals = Signals()
    signals.install()
    return signals


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_signals_come_as_numbers_and_those_that_end_come_each_time() -> None:
    def check() -> None:
        signals = installed()
        send(signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT)
        assert select.select([signals.fd], [], [], 30)[0]
        assert signals.take() == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD]
        assert signals.take() == []
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert signals.take() == [signal.SIGTERM, signal.SIGTERM]

    alone(check)


def test_no_storm_hides_the_signal_that_ends() -> None:
    """The wake-up socket holds a few hundred bytes; what comes then is not written any more."""

    def check() -> None:
        signals = installed()
        for _ in range(5000):
            send(signal.SIGHUP)
        send(signal.SIGTERM)
        for _ in range(5000):
            send(signal.SIGCHLD)
        assert select.select([signals.fd], [], [], 30)[0]
        taken = signals.take()
        assert taken.count(signal.SIGTERM) == 1
        assert sorted(taken) == sorted([signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD])
        assert not select.select([signals.fd], [], [], 0)[0], "and the loop may sleep again"
        assert signals.take() == []

    alone(check)


def test_a_signal_to_a_child_never_reaches_the_parents_socket() -> None:
    """The wake-up descriptor is inherited: a SIGTERM to a child was written into it, and ended the supervisor."""

    def waits(ends: Ends) -> NoReturn:
        from supervisor.forked import reset_signals

        reset_signals()
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.write(ends.messages, b"!")
        time.sleep(600)
        os._exit(0)

    def check() -> None:
        signals = installed()
        process = fork("one", waits)
        eventually(lambda: select.select([process.messages], [], [], 0)[0], within=30)
        for _ in range(10):
            process.send(signal.SIGTERM)
        process.send(signal.SIGKILL)
        process.reap()
        assert signals.take() == [signal.SIGCHLD]
        process.close()

    alone(check)


def test_a_signal_between_fork_and_the_childs_own_handlers_is_not_lost() -> None:
    """All are blocked across the fork: a SIGTERM that comes too early ends the child, and not the parent."""

    def check() -> None:
        signals = installed()

        def late(ends: Ends) -> NoReturn:
            from supervisor.forked import reset_signals

            time.sleep(0.3)  # the signal comes now, blocked
            reset_signals()
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            time.sleep(600)
            os._exit(0)

        process = fork("one", late)
        process.send(signal.SIGTERM)
        assert process.reap().signal == signal.SIGTERM
        assert signals.take() == [signal.SIGCHLD]
        process.close()

    alone(check)


# The real supervisor.


@pytest.fixture
def running(project: Callable[..., Project]) -> Project:
    return project(config=FAST + TASK, code=CODE)


HARMLESS = [signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD, signal.SIGWINCH]


def test_signals_that_mean_nothing_change_nothing(running: Project) -> None:
    with running.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        for number in HARMLESS * 20:
            supervisor.process.send_signal(number)
        assert supervisor.pid_of("one") == pid
        assert supervisor.status()["supervisor"]["state"] == "running"
        assert supervisor.stop() == 0, supervisor.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda n: n.name)
def test_each_signal_that_ends_is_named_and_ends_cleanly(running: Project, number: signal.Signals) -> None:
    with running.supervisor() as supervisor:
        supervisor.wait_ready()
        supervisor.process.send_signal(number)
        assert supervisor.wait() == 0, supervisor.stderr
        assert f"stopping: {number.name}" in supervisor.stderr


def test_a_terminal_that_stops_it_and_wakes_it_harms_nobody(running: Project) -> None:
    with running.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        os.kill(supervisor.pid, signal.SIGSTOP)  # what SIGTSTP comes to; an orphaned session ignores that one
        eventually(lambda: state(supervisor.pid) == "T", within=30)
        assert alive(pid), "children have sessions of their own"
        assert state(pid) != "T"
        os.kill(supervisor.pid, signal.SIGCONT)
        assert supervisor.pid_of("one") == pid


def test_a_storm_of_signals_costs_neither_life_nor_the_last_word(running: Project) -> None:
    """SIGHUP and SIGCHLD as fast as another process can send them, and in the middle of it SIGTERM."""
    storm = "import os, sys\nwhile True:\n    os.kill({pid}, 1)\n    os.kill({pid}, 17)\n    os.kill({pid}, 10)\n"
    with running.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        command = [sys.executable, "-c", storm.format(pid=supervisor.pid)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as sender:
            for _ in range(10):
                assert supervisor.status()["supervisor"]["state"] == "running"
            assert supervisor.child("one")["pid"] == pid
            supervisor.terminate()
            assert supervisor.wait(60) == 0, supervisor.stderr
            sender.kill()
        assert not alive(pid)


def test_sighup_reads_the_configuration_however_often_it_comes(running: Project) -> None:
    with running.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        running.configure(FAST + TASK + TASK.replace("one", "two"))
        for _ in range(50):
            supervisor.process.send_signal(signal.SIGHUP)
        assert supervisor.wait_child("one", lambda child: True)["pid"] == pid
        eventually(lambda: "two" in [child["name"] for child in supervisor.status()["children"]], within=30)
        supervisor.pid_of("two")
        assert supervisor.pid_of("one") == pid


def test_ctrl_c_in_the_whole_foreground_group_reaches_only_the_supervisor(running: Project) -> None:
    """A terminal sends it to the group: a child must not answer it on its own."""
    with running.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
        assert os.getpgid(pid) == os.getsid(pid) == pid
        assert supervisor.pid_of("one") == pid
        os.killpg(supervisor.pid, signal.SIGINT)
        assert supervisor.wait() == 0, supervisor.stderr


def heard(supervisor: Supervisor) -> int:
    return supervisor.stderr.count("stopping: SIGTERM, up to") + supervisor.stderr.count("SIGTERM again")


def ended_hard(supervisor: Supervisor, signals: int) -> int:
    """Send SIGTERM that often; each counts, so each waits until the one before it was heard."""
    for number in range(1, signals + 1):
        supervisor.terminate()
        eventually(lambda number=number: heard(supervisor) >= number, within=30)
    return supervisor.wait(60)


@pytest.mark.parametrize(("signals", "words"), [(2, "two seconds are left"), (3, "killing")])
def test_more_signals_hasten_it(project: Callable[..., Project], signals: int, words: str) -> None:
    deaf = NOTE + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef tick():\n    note('runs')\n    time.sleep(600)\n"
    made = project(
        config=FAST.replace("2s", "10m") + TASK + "run_on_start = true\n",
        code=deaf.replace("def tick():", "def tick():\n    signal.pthread_sigmask(signal.SIG_BLOCK, {15})"),
    )
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("runs"), within=30)
        assert ended_hard(supervisor, signals) == 1, "something had to be killed"
        assert words in supervisor.stderr


def test_a_read_that_is_refused_for_a_moment_loses_no_signal() -> None:
    class Refusing:
        def recv(self, size: int) -> bytes:
            raise OSError(12, "Cannot allocate memory")

    def check() -> None:
        signals = installed()
        whole, signals._read = signals._read, Refusing()  # type: ignore[assignment]
        send(signal.SIGTERM)
        assert signals.take() == [signal.SIGTERM]
        signals._read = whole
        assert select.select([signals.fd], [], [], 30)[0], "it wakes the loop until it was read"
        assert signals.take() == []

    alone(check)
