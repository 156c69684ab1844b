"""RUNS IN THE PARENT: toggles to disk. A helper writes and flushes; whoever toggled hears when it is through.

An answer before that would promise too much: killed in between, the next supervisor would not know of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from supervisor.helper import calls
from supervisor.parent.helpers import Outcome
from supervisor.parent.site import Site

WITHIN = 10.0  # a slow disk may take its time: only the answer waits for it

Heard = Callable[[str | None], None]  # what went wrong, or None


class Saving:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._waiting: list[Heard] = []  # for the next write: it holds what they toggled

    def save(self, now: float, heard: Heard | None = None) -> None:
        """Begin to write what is not saved yet. One write at a time; the next begins when it is through."""
        if heard:
            self._waiting.append(heard)
        document = self._site.toggles.take(now)
        if document is None:
            return
        told, self._waiting = self._waiting, []

        def done(outcome: Outcome) -> None:
            self._site.toggles.written(outcome.error, time.monotonic())
            for each in told:
                each(outcome.error)
            self.save(time.monotonic())

        path, text = self._site.toggles.path, document.decode()
        self._site.helpers.start("write toggles", calls.write_state, path, text, within=WITHIN, now=now, done=done)
