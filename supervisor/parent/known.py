"""RUNS IN THE PARENT: what children have said and how their processes ended. Bounded, whatever they say."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisor.core.lifecycle.exits import LastExit
from supervisor.core.wire.messages import Beat
from supervisor.core.wire.page import Doing

CURVE = 60  # heartbeats whose memory and CPU are remembered
MAX_FACTS = 64  # keys; each value fits a frame of 4 KiB


@dataclass(slots=True)
class Known:
    """Of one child. What belongs to one process is cleared at the next start."""

    facts: dict[str, Any] = field(default_factory=dict)
    beat: Beat | None = None
    beat_at: float | None = None  # monotonic, on our side
    curve: deque[tuple[float, int, float]] = field(default_factory=lambda: deque(maxlen=CURVE))  # when, rss, cpu
    doing: Doing | None = None
    condemned_for: Doing | None = None  # what it did when the verdict came: once dumped and told to end it may move on
    bye: str = ""
    starts: int = 0
    bad_frames: int = 0
    last_exit: LastExit | None = None
    not_evicted: str = ""  # why the member of that process could not be put out of its Kafka group
    lived: float | None = None  # seconds, of the last process
    stacks: str = ""  # of the last process that was ended for a fault, or that crashed in C

    def born(self) -> None:
        """A new process: what it does and says is not known yet; how the last one ended stays."""
        self.beat = self.beat_at = self.doing = self.condemned_for = None
        self.bye = ""
        self.curve.clear()
        self.starts += 1
        for key in ("waiting", "note", "usage", "progress", "progress_text"):
            self.facts.pop(key, None)

    def heard(self, beat: Beat, now: float) -> None:
        self.beat, self.beat_at = beat, now
        self.curve.append((now, beat.rss, beat.cpu))

    def learn(self, facts: Mapping[str, Any]) -> None:
        for key, value in facts.items():
            if value is None:
                self.facts.pop(key, None)
            elif key in self.facts or len(self.facts) < MAX_FACTS:
                self.facts[key[:64]] = value
