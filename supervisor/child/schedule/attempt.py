"""RUNS IN A CHILD: one call of the user's function: resources, soft timeout, and what came of it.

Whatever the function raises ends the run and not the process: SystemExit and MemoryError too.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor.child.loader import load, place
from supervisor.child.resources import Call, Resources
from supervisor.child.runtime import Runtime
from supervisor.child.schedule.timeout import Alarm, Overtaken, TaskTimeout
from supervisor.core.spec import TaskSettings

if TYPE_CHECKING:
    import asyncio

ERROR = 2000  # characters of an error that are kept
_NAMES: dict[type, str] = {TaskTimeout: "timeout", Overtaken: "overlap"}
RESULT = 500  # and of a returned value, as JSON


@dataclass(frozen=True, slots=True)
class Outcome:
    state: str  # ok | failed | timed_out | interrupted
    duration: float
    error: str | None = None
    result: str | None = None  # JSON
    cause: BaseException | None = None  # with its traceback, for the log
    reason: str | None = None  # overlap, of an interrupted one


class Attempts:
    """Calls one function again and again. `on_wake` is called when the wake-up descriptor fires in an async run."""

    def __init__(
        self,
        call: Call,
        resources: Resources,
        *,
        root: str,
        wake_fd: int,
        on_wake: Callable[[], None],
    ) -> None:
        self._call, self._resources, self._root = call, resources, root
        self._within: float | None = None
        self._over: Callable[[], TaskTimeout] = TaskTimeout
        self.alarm = Alarm()
        self._runner = self._make_runner(wake_fd, on_wake) if call.is_async else None

    @property
    def is_async(self) -> bool:
        return self._call.is_async

    def run(self, values: Mapping[str, Any], within: float | None, over: Callable[[], TaskTimeout]) -> Outcome:
        """Call it with the named ones of `values` and fresh resources. `over` makes what ends it after `within`."""
        began = time.monotonic()
        self._within, self._over = within, over
        try:
            result = self._async(values) if self._runner else self._sync(values)
        except Overtaken as e:
            return Outcome("interrupted", time.monotonic() - began, self._text(e), cause=e, reason="overlap")
        except TaskTimeout as e:
            return Outcome("timed_out", time.monotonic() - began, self._text(e), cause=e)
        except BaseException as e:  # sys.exit in a task is a failed run
            return Outcome("failed", time.monotonic() - began, self._text(e), cause=e)
        return Outcome("ok", time.monotonic() - began, result=_json(result))

    def close(self) -> None:
        """End what the user's coroutines left in the loop."""
        if self._runner:
            self._runner.close()

    def _sync(self, values: Mapping[str, Any]) -> Any:
        with self.alarm.after(self._within, self._raise), self._resources.opened(self._call.resources) as opened:
            try:
                result = self._call({**values, **opened})
            finally:
                self.alarm.off()  # what closes is not cut short
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError('it returned a coroutine that nobody awaits; declare it with "async def"')
        return result

    def _async(self, values: Mapping[str, Any]) -> Any:
        """The coroutine hands its end over as a value: SystemExit must not go through the loop and break it."""
        assert self._runner is not None
        end = self._runner.run(self._awaited(values))
        if isinstance(end, _Raised):
            raise end.error
        return end

    async def _awaited(self, values: Mapping[str, Any]) -> Any:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        ring = _Ring(task, self._over)
        try:
            with self.alarm.after(self._within, ring):
                async with self._resources.opened_async(self._call.resources) as opened:
                    try:
                        return await self._call({**values, **opened})
                    finally:
                        self.alarm.off()
        except asyncio.CancelledError as e:
            return _Raised(ring.error.with_traceback(e.__traceback__) if ring.error else e)
        except BaseException as e:
            return _Raised(e)

    def _raise(self) -> None:
        raise self._over()

    def _text(self, error: BaseException) -> str:
        """Return 'ConnectionError: refused (tasks/mail.py:18)'."""
        try:
            said = str(error)
        except Exception:  # the user's own class of errors
            said = "(its text cannot be made)"
        name = _NAMES.get(type(error)) or type(error).__name__
        where = place(error, self._root)
        text = (f"{name}: {said}" if said else name)[:ERROR]
        return f"{text} ({where})" if where else text

    def _make_runner(self, wake_fd: int, on_wake: Callable[[], None]) -> asyncio.Runner:
        import asyncio  # only async tasks pay for it

        runner = asyncio.Runner()
        runner.get_loop().add_reader(wake_fd, on_wake)
        return runner


def loaded(rt: Runtime, settings: TaskSettings, on_wake: Callable[[], None]) -> Attempts:
    """Load the function of a task and what it needs. Raises LoadError."""
    resources = Resources(settings.resources)
    call = resources.bind(load(settings.run), ("ctx", *settings.args), required=tuple(settings.args))
    return Attempts(call, resources, root=rt.supervisor.project_dir, wake_fd=rt.wake_fd, on_wake=on_wake)


class _Ring:
    """The time is over: cancel the coroutine, or raise in it when it is just holding up the loop."""

    def __init__(self, task: asyncio.Task[Any], over: Callable[[], TaskTimeout]) -> None:
        self._task, self._over = task, over
        self.error: TaskTimeout | None = None

    def __call__(self) -> None:
        import asyncio

        loop = self._task.get_loop()
        self.error = self._over()
        if asyncio.current_task(loop) is self._task:
            raise self.error
        loop.call_soon_threadsafe(self._task.cancel)  # threadsafe: it wakes the loop out of its wait


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


def _json(value: Any) -> str | None:
    """Return what the function returned, when it is plain and small."""
    if value is None:
        return None
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= RESULT else None
