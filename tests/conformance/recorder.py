"""RUNS IN THE PARENT UNDER TEST: writes down what goes into the core, what comes out, and what is done about it.

A line of the record is a pickled tuple:
("call", method, arguments, drawn numbers, returned, the fleet afterwards)   of the fleet, as the driver calls it
("done", what, arguments)                                                    an effect, when it is carried out
Nothing of the product knows of it.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from supervisor.core.lifecycle import fleet as fleets
from supervisor.core.spec import ChildSpec

CALLS = ("step", "tick", "want", "shift", "stop")
Seen = tuple[tuple[tuple[str, Any, Any, bool, int], ...], float | None, bool, bool]


class Record:
    """One file, written entry by entry: a supervisor that is killed leaves all but the last."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  as long as the process lives
        self._pid = os.getpid()

    def add(self, *entry: Any) -> None:
        if os.getpid() == self._pid:  # what is forked is not the driver
            self._file.write(pickle.dumps(entry))


def seen(fleet: fleets.Fleet) -> Seen:
    """What the driver can see of it."""
    children = tuple((n, c.state, c.reason, c.wanted, c.generation) for n, c in fleet.children.items())
    return children, fleet.wakes_at(), fleet.done, fleet.had_to_kill


def install(path: str) -> None:
    record = Record(path)
    fleets.Fleet = _recording(record)  # type: ignore[misc]
    _record_effects(record)


def _recording(record: Record) -> type[fleets.Fleet]:
    class Recording(fleets.Fleet):
        def __init__(self, draw: Callable[[], float]) -> None:
            self._inside = False
            self._drawn: list[float] = []

            def drawn() -> float:
                self._drawn.append(draw())
                return self._drawn[-1]

            super().__init__(drawn)

        def apply(self, specs: Iterable[ChildSpec], enabled: Callable[[ChildSpec], bool], now: float) -> Any:
            known = list(specs)
            on = {spec.name: enabled(spec) for spec in known}
            return self._noted("apply", (known, on, now), {}, lambda: real_apply(self, known, enabled, now))

        def _noted(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], call: Callable[[], Any]) -> Any:
            if self._inside:  # the fleet itself
                return call()
            self._inside = True
            try:
                returned = call()
            finally:
                self._inside = False
            drawn, self._drawn = self._drawn, []
            record.add("call", method, (args, kwargs), drawn, returned, seen(self))
            return returned

    real_apply = fleets.Fleet.apply

    def noting(method: str) -> Callable[..., Any]:
        real = getattr(fleets.Fleet, method)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self._noted(method, args, kwargs, lambda: real(self, *args, **kwargs))

        return call

    for method in CALLS:
        setattr(Recording, method, noting(method))
    return Recording


# --- what is done ---------------------------------------------------------------------------------------------------


def _record_effects(record: Record) -> None:
    """Each is written down when it begins, but for what is known only when it is done."""
    from supervisor.core.wire import frames  # here: the recording fleet must be there before anybody takes the real one
    from supervisor.parent.around import Around
    from supervisor.parent.process import Process

    for name in ("changed", "said", "escalate", "evict"):
        _before(Around, name, lambda name, self, *args: record.add("done", name, args))
    _before(Process, "kill", lambda name, self: record.add("done", "kill", (self.pid,)))
    _before(Process, "send", lambda name, self, number: record.add("done", "send", (self.pid, int(number))))
    _after(Around, "fork", lambda self, args, process: record.add("done", "fork", (*args, process.pid)))
    _after(Process, "reap", lambda self, args, status: record.add("done", "reap", (self.pid, status)))

    def ordered(self: Process, args: tuple[bytes], taken: bool) -> None:
        (order,) = frames.Decoder().feed(*args)
        record.add("done", "order", (self.pid, order["o"], taken))

    _after(Process, "write", ordered)


def _before(owner: type, name: str, note: Callable[..., None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def noted(self: Any, *args: Any) -> Any:
        note(name, self, *args)
        return real(self, *args)

    setattr(owner, name, noted)


def _after(owner: type, name: str, note: Callable[[Any, Any, Any], None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def noted(self: Any, *args: Any) -> Any:
        value = real(self, *args)
        note(self, args, value)
        return value

    setattr(owner, name, noted)
