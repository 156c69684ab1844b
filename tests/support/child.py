"""RUNS IN PYTEST: one real forked child without the parent: pipes, page, Birth, signals as child/main gives them.

with ForkedChild(runner.run, spec, tmp_path) as child:
    child.wait_ready()
    child.order("pause")
    run = child.wait_run()
    child.terminate()
    assert child.exit_code() == 0
"""

from __future__ import annotations

import logging
import mmap
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from supervisor.child.birth import Birth, LastExit
from supervisor.child.loader import LoadError
from supervisor.child.runtime import Runtime
from supervisor.core.spec import ChildSpec, Policy, Settings, SupervisorSettings
from supervisor.core.wire import frames, page
from supervisor.core.wire.messages import (
    Bye,
    Facts,
    Message,
    Notice,
    Order,
    Ready,
    Run,
    from_frame,
    order_from_frame,
    order_to_frame,
)

WITHIN = 30.0  # generous: two busy cores
M = TypeVar("M", bound=Message)
T = TypeVar("T")


def spec(name: str, settings: Settings, kind: str = "task", policy: Policy | None = None) -> ChildSpec:
    return ChildSpec(
        name=name,
        group=name.partition(":")[0],
        kind=kind,  # type: ignore[arg-type]
        enabled=True,
        policy=policy or Policy(),
        settings=settings,
    )


class ForkedChild:
    """`run(rt)` in a forked process of its own; this side reads its frames and gives it orders and signals.

    The state folder is `folder`/.supervisor, the project folder `folder` (sys.path[0] of the child).
    """

    def __init__(
        self,
        run: Callable[[Runtime], int],
        spec: ChildSpec,
        folder: Path,
        *,
        previous: LastExit | None = None,
        extra: Mapping[str, Any] | None = None,
        generation: int = 1,
    ) -> None:
        self.messages: list[Message] = []
        self.folder = folder
        self.state = folder / ".supervisor"
        self.log_path = self.state / "logs" / f"{spec.name}.log"
        for part in ("logs", "history", "crashes"):
            (self.state / part).mkdir(parents=True, exist_ok=True)
        self.supervisor = SupervisorSettings(
            config_file=str(folder / "config.toml"), project_dir=str(folder), state_dir=str(self.state)
        )
        self._decoder = frames.Decoder()
        self._page = mmap.mmap(-1, page.SIZE)
        self._in, messages = os.pipe()
        orders, self._out = os.pipe()
        os.set_blocking(self._in, False)
        os.set_blocking(messages, False)
        self._status: int | None = None
        dump = os.memfd_create("dump")
        birth = Birth(
            spec=spec,
            supervisor=self.supervisor,
            generation=generation,
            previous=previous,
            parent_pid=os.getpid(),
            messages=messages,
            orders=orders,
            page=self._page,
            dump=dump,
            console=2,
            nofile=(1024, 4096),
            extra=dict(extra or {}),
        )
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._in)
            os.close(self._out)
            _child(run, birth, self.log_path)
        for fd in (messages, orders, dump):
            os.close(fd)

    def __enter__(self) -> ForkedChild:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.exit_code()
        os.close(self._in)
        os.close(self._out)
        self._page.close()

    def order(self, verb: str, **args: Any) -> None:
        os.write(self._out, frames.encode(order_to_frame(Order(verb, args))))

    def signal(self, number: int) -> None:
        if self._status is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def exit_code(self, within: float = WITHIN) -> int:
        """Wait for the end: the exit code, or minus the signal."""
        self._until(self._ended, within, "the process ended")
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)

    def doing(self) -> page.Doing | None:
        return page.read(memoryview(self._page))

    def ran(self) -> float | None:
        return page.read_ran(memoryview(self._page))

    def wait_doing(self, phase: str, subject: str = "", within: float = WITHIN) -> page.Doing:
        """Wait until the black box page says so."""

        def reached() -> page.Doing | None:
            doing = self.doing()
            return doing if doing and doing.phase == phase and subject in doing.subject else None

        return self._until(reached, within, f"phase {phase} {subject}")

    def wait_for(
        self, kind: type[M], matching: Callable[[M], object] = lambda _: True, *, count: int = 1, within: float = WITHIN
    ) -> M:
        """Wait for the `count`-th message of this kind that matches, from the beginning on."""

        def found() -> M | None:
            self.read()
            fitting = [m for m in self.messages if isinstance(m, kind) and matching(m)]
            return fitting[count - 1] if len(fitting) >= count else None

        return self._until(found, within, f"message {count} of {kind.__name__}")

    def wait_ready(self, within: float = WITHIN) -> None:
        self.wait_for(Ready, within=within)

    def wait_run(self, count: int = 1, within: float = WITHIN, **fields: Any) -> Mapping[str, Any]:
        """Wait for the `count`-th ended run whose record has these fields."""
        return self.wait_for(Run, lambda m: _has(m.result, fields), count=count, within=within).result

    def wait_notice(self, code: str, within: float = WITHIN) -> Notice:
        return self.wait_for(Notice, lambda m: m.code == code, within=within)

    def wait_facts(self, matching: Callable[[dict[str, Any]], object], within: float = WITHIN) -> dict[str, Any]:
        """Wait until all facts told so far, merged, match."""

        def found() -> dict[str, Any] | None:
            facts = self.facts
            return facts if matching(facts) else None

        return self._until(found, within, "facts")

    @property
    def facts(self) -> dict[str, Any]:
        self.read()
        merged: dict[str, Any] = {}
        for message in self.messages:
            if isinstance(message, Facts):
                merged.update(message.facts)
        return merged

    @property
    def runs(self) -> list[Mapping[str, Any]]:
        self.read()
        return [m.result for m in self.messages if isinstance(m, Run)]

    @property
    def bye(self) -> Bye | None:
        self.read()
        return next((m for m in self.messages if isinstance(m, Bye)), None)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def read(self) -> list[Message]:
        """Take what is in the pipe; return all messages so far."""
        while select.select([self._in], [], [], 0)[0]:
            data = os.read(self._in, 65536)
            if not data:
                break
            self.messages += [m for f in self._decoder.feed(data) if (m := from_frame(f)) is not None]
        return self.messages

    def _ended(self) -> bool:
        if self._status is None:
            self.read()  # a full pipe must not keep it from ending
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
                self.read()
        return self._status is not None

    def _until(self, condition: Callable[[], T | None], within: float, what: str) -> T:
        end = time.monotonic() + within
        while not (value := condition()):
            if time.monotonic() > end:
                raise AssertionError(
                    f"not within {within:g} s: {what}\nmessages: {self.messages[-20:]}\nlog:\n{self.log}"
                )
            if self._status is None and self._ended():
                if value := condition():
                    return value
                raise AssertionError(f"the child ended ({self._status}) before: {what}\nlog:\n{self.log}")
            time.sleep(0.005)
        return value


def _has(result: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    return all(result.get(key) == value for key, value in fields.items())


def _child(run: Callable[[Runtime], int], birth: Birth, log: Path) -> None:
    """As child/main does it, without descriptor hygiene. Never returns."""
    code = 1
    try:
        os.setsid()
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        root = logging.getLogger()
        root.handlers[:] = [logging.StreamHandler(sys.stderr)]
        root.setLevel(logging.INFO)
        sys.path.insert(0, birth.supervisor.project_dir)
        rt = Runtime(birth)
        signal.signal(signal.SIGTERM, lambda *_: _stop(rt))
        threading.Thread(target=_orders, args=(rt,), daemon=True).start()
        try:
            code = run(rt)
        except LoadError as e:
            print(e, file=sys.stderr)
            code = 78 if e.permanent else 1
            rt.post(Bye(code, str(e)))
        rt.flush_facts()
    except BaseException:  # whatever it is, a forked copy of pytest must never go on
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _stop(rt: Runtime) -> None:
    rt.stopping = True
    rt.wake()


def _orders(rt: Runtime) -> None:
    """The heartbeat thread's other work: orders in, facts out. EOF: the test is gone."""
    decoder = frames.Decoder()
    while True:
        if select.select([rt.birth.orders], [], [], 0.02)[0]:
            data = os.read(rt.birth.orders, 4096)
            if not data:
                os._exit(75)
            for frame in decoder.feed(data):
                rt.deliver(order_from_frame(frame))
        rt.flush_facts()
