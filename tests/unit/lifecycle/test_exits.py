from __future__ import annotations

import pytest

from supervisor.core.lifecycle.exits import Cause, ExitStatus, cause_of, signal_name


@pytest.mark.parametrize(("status", "cause"), [
    (ExitStatus(code=0), Cause.CRASH),
    (ExitStatus(code=1), Cause.CRASH),
    (ExitStatus(signal=11), Cause.CRASH),
    (ExitStatus(signal=9, oom=True), Cause.OOM),
    (ExitStatus(code=75), Cause.UNAVAILABLE),
    (ExitStatus(code=78), Cause.CONFIG),
    (ExitStatus(code=0, bye="recycle: max_runs reached"), Cause.PLANNED),
    (ExitStatus(code=1, bye="recycle: max_runs reached"), Cause.CRASH),
])  # fmt: skip
def test_an_end_that_nobody_asked_for_has_a_cause(status: ExitStatus, cause: Cause) -> None:
    assert cause_of(status) is cause


def test_one_that_never_was_ready_cannot_ask_to_be_replaced() -> None:
    assert cause_of(ExitStatus(code=0, bye="recycle"), ready=False) is Cause.CRASH


@pytest.mark.parametrize(("status", "words"), [
    (ExitStatus(code=0), "exited 0, which nobody asked for"),
    (ExitStatus(code=0, bye="recycle: max_runs reached"), "recycle: max_runs reached"),
    (ExitStatus(code=7), "exited with 7"),
    (ExitStatus(code=1, bye="KeyError: 'x'"), "exited with 1: KeyError: 'x'"),
    (ExitStatus(signal=11), "killed by SIGSEGV"),
    (ExitStatus(signal=9), "killed by SIGKILL (not by us)"),
    (ExitStatus(signal=9, oom=True), "killed by the kernel: out of memory"),
])  # fmt: skip
def test_people_read_how_a_process_ended(status: ExitStatus, words: str) -> None:
    assert status.words() == words


def test_signals_have_names_and_strange_ones_numbers() -> None:
    assert (signal_name(15), signal_name(40)) == ("SIGTERM", "signal 40")


def test_the_childs_fault_is_counted_and_nothing_else() -> None:
    uncounted = {Cause.PLANNED, Cause.UNAVAILABLE, Cause.CONFIG, Cause.NOT_FORKED, Cause.MEMORY, Cause.TIMED_OUT}
    assert {cause for cause in Cause if not cause.counted} == uncounted
