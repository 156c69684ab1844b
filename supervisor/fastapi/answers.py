"""RUNS IN A WEB PROCESS: what the supervisor says of itself, asked at most once a second, however many requests ask.

A supervisor that is frozen costs the first request one second, and the others nothing: they get the latest answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from supervisor import client
from supervisor.core.errors import SupervisorError, TimedOut
from supervisor.core.names import missing, near
from supervisor.core.status import children, healthy, named, sentence, verdict
from supervisor.fastapi import thread

FRESH = 1.0  # seconds an answer counts
PATIENCE = 1.0  # seconds to wait for one; a healthy supervisor needs milliseconds
STALE = 5.0  # seconds an answer "it is frozen" may be repeated while another one is asked for


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is that of the supervisor, or None: then `problem` says why there is none."""

    at: float  # monotonic
    status: Mapping[str, Any] | None = None
    problem: str = ""
    frozen: bool = False

    def problems(self, names: Iterable[str] = ()) -> list[str]:
        """Say what is wrong with these children, or with anything. Nothing wrong: an empty list."""
        if self.status is None:
            return [self.problem]
        asked = list(names)
        if not asked:
            return [problem.text for problem in verdict(self.status).problems]
        unknown = [_no_child(self.status, name) for name in asked if not named(self.status, [name])]
        return unknown + [sentence(child) for child in named(self.status, asked) if not healthy(child)]


class Answers:
    """Of the supervisor of one config.toml. `reason` tells why it does not run, when somebody knows."""

    def __init__(
        self,
        config: str,
        ask: Callable[[str], Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.reason: Callable[[], str] = lambda: ""
        self._ask = ask or (lambda config: client.status(config, timeout=PATIENCE))
        self._clock = clock
        self._latest: Answer | None = None
        self._asking: Future[Answer] | None = None

    async def get(self) -> Answer:
        latest, now = self._latest, self._clock()
        if latest and now - latest.at < FRESH:
            return latest
        asking = self._asking
        if asking is None or asking.done():
            asking = self._asking = thread.begin(self._answer)
        if latest and latest.frozen and now - latest.at < STALE:
            return latest
        try:
            return await thread.finished(asking)
        except Exception as error:  # no thread to be had
            return Answer(now, problem=f"the supervisor cannot be asked: {error}")

    def _answer(self) -> Answer:
        try:
            answer = Answer(0.0, self._ask(self.config))
        except TimedOut as error:
            answer = Answer(0.0, problem=str(error), frozen=True)
        except SupervisorError as error:
            answer = Answer(0.0, problem=self.reason() or str(error))
        self._latest = Answer(self._clock(), answer.status, answer.problem, answer.frozen)
        return self._latest


def _no_child(status: Mapping[str, Any], name: str) -> str:
    known = [str(child.get("group") or child.get("name")) for child in children(status)]
    hint = near(name, known)  # only the near one: a web page need not tell everybody the names of all
    return missing("child", name) + (f"; {hint}" if hint else "")
