"""RUNS IN A WEB PROCESS: holds the supervisor alive, starts it when there is none, again when it died.

Every web process does the same, and in the end the supervisor's own lock decides. Nothing here waits: `look` is
called again after the seconds it returns.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from supervisor.core.held import LINGER
from supervisor.core.lifecycle.backoff import delay
from supervisor.fastapi.fifo import Fifo
from supervisor.fastapi.start import Start
from supervisor.fastapi.turn import Turn

log = logging.getLogger("supervisor.fastapi")

EVERY = 1.0  # seconds between looks
SOON = 0.1  # while it starts
BASE, CAP, JITTER = 1.0, 30.0, 0.2  # of the backoff
STABLE = 60.0  # seconds of life after which its earlier failures are forgotten
START_WITHIN = 60.0  # seconds until it reads its FIFO; nothing of the user's runs before
PATIENT = 4  # times that another one, which is starting or ending, is not worth a line


class Keeper:
    """One per lifespan. `draw` gives a number in [0, 1)."""

    def __init__(
        self,
        config: str,
        *,
        draw: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[str], Start] = Start,
    ) -> None:
        self.config = config
        self.problem = "the supervisor is starting"  # why it does not run; "" while it does
        self._draw, self._clock, self._begin_start = draw, clock, start
        self._fifo, self._turn = Fifo(config), Turn(config)
        self._start: Start | None = None  # the latest that we began; kept, for whoever began it must reap it
        self._failures = 0  # in a row
        self._since = self._not_before = 0.0
        self._seen: tuple[int, ...] = ()  # config.toml at the latest failure
        self._told = ""
        self._lost_it = ""

    def look(self) -> float:
        """See how it stands, do what is next; return the seconds until the next look."""
        now = self._clock()
        code = self._start.exited() if self._start else None
        if self._fifo.held:
            if self._fifo.read or self._hold_again():
                self._failures = 0 if now - self._since >= STABLE else self._failures
                return EVERY
            return self._lost(now)
        if self._fifo.hold():
            return self._came(now)
        if self._start and self._start.listened_to:
            return self._starting(self._start, code, now)
        return self._begin(now)

    def release(self) -> None:
        """We leave. The last one who does ends the supervisor."""
        self._fifo.release()
        self._end_start()

    # It runs.

    def _came(self, now: float) -> float:
        said = self._start.said() if self._start and self._start.listened_to else ""
        if said:
            log.warning("the supervisor runs, but: %s", said)
        else:
            log.info("the supervisor of %s runs", self.config)
        self._end_start()
        self._since, self.problem, self._told, self._lost_it = now, "", "", ""
        return EVERY

    def _hold_again(self) -> bool:
        """Its FIFO may have been removed by somebody and made again by it."""
        self._fifo.release()
        return self._fifo.hold()

    def _lost(self, now: float) -> float:
        if self._fifo.removed:
            self._not_before = now + LINGER  # a whole host may be shutting down, us too in a moment
        self._lost_it = f"the supervisor {'was stopped' if self._fifo.removed else 'died'}"
        return self._fail(now, f"{self._lost_it}; it is started again", quiet=True)

    # It does not.

    def _begin(self, now: float) -> float:
        seen = _signature(self.config)
        if not seen:
            self._tell(f"{self.config} does not exist: write it (supervisor init), or name another: lifespan(FILE)")
            return EVERY
        if now < self._not_before and seen == self._seen:
            return min(EVERY, self._not_before - now)
        if not self._turn.take(now):
            return SOON
        if self._fifo.hold():  # while we waited for our turn
            return self._came(now)
        return self._try(now)

    def _try(self, now: float) -> float:
        if self._lost_it:  # said by the one who does it, not by all
            log.warning("%s while this web server runs; starting it again", self._lost_it)
        self._since, self._lost_it = now, ""
        try:
            self._start = self._begin_start(self.config)
        except OSError as error:
            return self._fail(now, f"the supervisor cannot be started: {error}")
        return SOON

    def _starting(self, start: Start, code: int | None, now: float) -> float:
        if code is None and now - self._since < START_WITHIN:
            return SOON
        if code is None:
            start.kill()
            return self._fail(now, f"the supervisor did not come up within {START_WITHIN:g} s")
        said = start.said() or f"it ended with code {code} and without a word"
        quiet = start.found_another and self._failures < PATIENT
        return self._fail(now, f"the supervisor does not start: {said}", quiet=quiet)

    def _fail(self, now: float, problem: str, *, quiet: bool = False) -> float:
        self._end_start()
        self._failures += 1
        wait = delay(self._failures + 1, base=BASE, cap=CAP, jitter=JITTER, draw=self._draw())
        self._not_before = max(self._not_before, now + wait)
        self._seen = _signature(self.config)
        self._tell(problem, quiet=quiet)
        return min(EVERY, wait)

    def _tell(self, problem: str, *, quiet: bool = False) -> None:
        """The same thing once, however often it happens; `problem` says it as long as it lasts."""
        self.problem = problem
        if not quiet and problem != self._told:
            self._told = problem
            log.error("%s", problem)

    def _end_start(self) -> None:
        if self._start:
            self._start.close()
        self._turn.give_back()


def _signature(file: str) -> tuple[int, ...]:
    """Return what a saved change changes; empty when there is no such file."""
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
