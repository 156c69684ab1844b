"""Errors a person reads, and the exit codes of the command.

Each error is raised in one place and turned into an exit code in one place (cli).
A message says where, what was expected, what was found, what to do.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every verb; `start` uses the last column of the README's table."""

    OK = 0
    FAILED = 1  # the action failed, --check found something unhealthy, or already running
    USAGE = 2  # click's own code for bad usage; also an invalid configuration
    NOT_RUNNING = 3  # as LSB's status
    NO_SUCH_CHILD = 4
    TIMED_OUT = 5  # no answer in time: --wait, or a supervisor that does not answer
    BUG = 70  # EX_SOFTWARE of sysexits.h: ours, never the user's
    TEMPFAIL = 75  # EX_TEMPFAIL: a child that cannot wait for its dependency by itself
    CONFIG = 78  # EX_CONFIG: what no retry can mend (missing module, wrong signature)


class SupervisorError(Exception):
    """Something that a person must read; never shown with a traceback."""

    exit = Exit.FAILED


class NotRunning(SupervisorError):
    exit = Exit.NOT_RUNNING


class AlreadyRunning(SupervisorError):
    pass


class NoSuchChild(SupervisorError):
    exit = Exit.NO_SUCH_CHILD


class WrongUsage(SupervisorError):
    exit = Exit.USAGE


class TimedOut(SupervisorError):
    exit = Exit.TIMED_OUT


class DependencyAway(Exception):
    """For user code to raise: what it needs is away. The consumer waits and tries again; the record is not at fault."""
