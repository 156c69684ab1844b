"""RUNS IN A CHILD: from the fork to the exit code. Nothing returns from here into the parent's code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from supervisor.child import output
from supervisor.child.birth import Birth
from supervisor.child.boot import boot
from supervisor.child.heartbeat import Heartbeat
from supervisor.child.loader import LoadError
from supervisor.child.runtime import Runtime
from supervisor.core.errors import Exit
from supervisor.core.wire.messages import Bye, Hello

log = logging.getLogger(__name__)


def main(birth: Birth) -> NoReturn:
    """Boot, work, say goodbye. Ends by `os._exit`: threads of libraries and exit hooks cannot keep us alive."""
    code: int = Exit.FAILED
    try:
        boot(birth)
        runtime = Runtime(birth)
        output.install(birth.spec.name, birth.console, birth.supervisor)
        _listen_for_term(runtime)
        runtime.post(Hello(birth.generation))
        Heartbeat(runtime).start()
        code = _work(runtime)
    except BaseException:
        _leave_traceback(birth.dump)
    finally:
        _flush()
        os._exit(code)


def _work(runtime: Runtime) -> int:
    try:
        return _run(runtime)
    except LoadError as error:
        log.error("%s", error)  # noqa: TRY400  the user's own file and line are in the message
        return _bye(runtime, Exit.CONFIG if error.permanent else Exit.FAILED, str(error))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else Exit.FAILED
        return _bye(runtime, code, f"SystemExit: {error.code}")
    except BaseException as error:
        log.exception("ended by an exception")
        return _bye(runtime, Exit.FAILED, f"{type(error).__name__}: {error}")


def _run(runtime: Runtime) -> int:
    """Import only what this kind needs: a task's process never pays for Kafka."""
    runtime.enter("loading", budget=runtime.spec.policy.ready_timeout)
    if runtime.spec.kind == "task":
        from supervisor.child.schedule.runner import run
    elif runtime.spec.kind == "consumer":
        from supervisor.child.kafka.consumer import run
    else:
        from supervisor.child.broker.mock import run
    return run(runtime)


def _bye(runtime: Runtime, code: int, reason: str) -> int:
    runtime.post(Bye(code, reason))
    return code


def _listen_for_term(runtime: Runtime) -> None:
    """SIGTERM only sets a flag and wakes the main thread; all signals were blocked since before the fork."""

    def term(number: int, frame: FrameType | None) -> None:
        runtime.stopping = True
        runtime.wake()

    signal.signal(signal.SIGTERM, term)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _leave_traceback(dump: int) -> None:
    try:
        os.write(dump, traceback.format_exc().encode()[-16384:])
    except OSError:
        pass


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # disk full or closed by the task: nobody is left to be told
