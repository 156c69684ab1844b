"""The machine of the simulation: processes that live, work, misbehave and die in virtual time.

Nothing here knows the code under test but for its plain data. Each seed draws its own mix of faults
(many of them absent), which finds more than an even mix does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from random import Random

from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.spec import Policy
from supervisor.core.wire.page import Doing

FATES = ("crash", "exits_zero", "config", "tempfail", "oom", "recycle", "hang", "stuck", "garbage", "fat", "huge")
FAULTS = (
    *FATES,
    *("deaf", "slow_end", "unkillable", "slow_hello", "slow_ready", "dies_loading", "silent_loading", "starved"),
    *("leftovers", "long_leftovers", "ignores_drain", "slow_prepare", "no_prepare", "no_fork", "slow_first_phase"),
    *("toggle", "restart", "reload", "frozen_alone", "frozen_all", "late", "twice", "stale", "slow_exit"),
)
MIB = 1 << 20
CRASH = ExitStatus(code=1)


_MOMENTS = (
    *("hello_at", "ready_at", "hangs_at", "stuck_from", "fat_from", "huge_from", "dies_at", "garbage_at", "until"),
)


class Mix:
    """How likely each fault is in this seed. `off` is for narrowing a failure down: the draws stay the same."""

    def __init__(self, rnd: Random, off: frozenset[str]) -> None:
        self.rnd = rnd
        self.calm = False
        self.rate = {fault: (rnd.random() ** 3 if rnd.random() < 0.6 else 0.0) for fault in FAULTS}
        self.rate.update(dict.fromkeys(off, 0.0))

    def hits(self, fault: str) -> bool:
        return self.rnd.random() < self.rate[fault] and not self.calm


@dataclass(slots=True, eq=False)
class Process:
    """One virtual process: what it is going to do, and what it is doing. Times are absolute; inf: never."""

    name: str
    pid: int
    born: float
    policy: Policy
    beat_every: float
    hello_at: float = inf
    ready_at: float = inf
    hangs_at: float = inf  # heartbeats and work end, the process stays
    stuck_from: float = inf  # work ends, heartbeats go on
    fat_from: float = inf
    huge_from: float = inf
    dies_at: float = inf
    garbage_at: float = inf
    status: ExitStatus = CRASH
    silent_loading: bool = False
    slow_first_phase: float = 0.0
    deaf: bool = False  # to SIGTERM
    obeys_drain: bool = True
    end_takes: float = 0.05
    unkillable: float = 0.0
    leftovers: float = 0.0  # what it leaves behind lives so long
    member: str = ""
    draining: bool = False
    killed: bool = False
    dead: bool = False
    thawed: float = 0.0  # the whole machine stood still until then
    beat_before: float | None = None
    # the black box
    count: int = 1
    since: float = 0.0
    until: float = 0.0
    budget: float | None = None
    working: bool = False
    phase: str = "working"

    def last_beat(self, now: float) -> float | None:
        """When its last heartbeat left, as `now` sees it."""
        end = min(now, self.hangs_at)
        start = self.ready_at if self.silent_loading else self.hello_at
        if end < start:
            return None
        beat = start + (end - start) // self.beat_every * self.beat_every
        return beat if beat >= self.thawed else self.beat_before

    def doing(self, now: float, rnd: Random) -> Doing | None:
        """What its black box says. Phases are drawn when somebody looks."""
        if now < self.hello_at:
            return None
        if now < self.ready_at + self.slow_first_phase:  # READY is said a moment before the first phase is entered
            return Doing(1, "loading", self.hello_at, self.policy.ready_timeout)
        seen = min(now, self.hangs_at)
        if not self.working:
            self.working, self.until = True, self.ready_at
        if self.until <= seen and self.ready_at <= seen:
            self._next_phase(seen, rnd)
        return Doing(self.count, self.phase, self.since, self.budget)

    def _next_phase(self, seen: float, rnd: Random) -> None:
        self.count += 1
        self.phase = rnd.choice(("working", "running"))
        self.budget = None if rnd.random() < 0.2 else rnd.uniform(0.5, 6.0)
        takes = rnd.uniform(0.05, 0.95) * (self.budget or 3.0)
        if self.stuck_from <= seen:
            self.budget = self.budget or 2.0
            self.since, self.until = max(self.until, self.stuck_from), inf
        else:
            self.since = max(self.until, seen - takes * rnd.random())
            self.until = self.since + takes

    def rss(self, now: float) -> int:
        return (2000 if now >= self.huge_from else 900 if now >= self.fat_from else 10) * MIB

    def frozen(self, began: float, gap: float) -> None:
        """The whole machine stood still. What began before still began then."""
        self.beat_before, self.thawed = self.last_beat(began), began + gap
        for name in _MOMENTS:
            setattr(self, name, getattr(self, name) + gap)


class World:
    """Draws policies and processes."""

    def __init__(self, rnd: Random, mix: Mix) -> None:
        self.rnd = rnd
        self.mix = mix
        self._pid = 100

    def policy(self) -> Policy:
        draw = self.rnd.uniform
        return Policy(
            grace_period=draw(0.5, 5.0),
            drain_timeout=self.rnd.choice((None, draw(1.0, 8.0))),
            stable_after=draw(1.0, 20.0),
            backoff_base=self.rnd.choice((draw(0.1, 1.0), draw(0.1, 1.0), draw(0.1, 1.0), 0.0)),
            backoff_max=draw(1.0, 8.0),
            backoff_jitter=self.rnd.choice((0.0, 0.2, 0.5)),
            hello_timeout=draw(1.0, 4.0),
            ready_timeout=draw(1.0, 8.0),
            heartbeat_timeout=draw(2.0, 7.0),
            on_crash_loop=self.rnd.choice(("hold", "hold", "fatal", "exit")),
            crash_loop_count=self.rnd.randint(2, 8),
            crash_loop_window=draw(5.0, 120.0),
            critical=self.rnd.random() < 0.2,
            max_rss=self.rnd.choice((None, 500 * MIB)),
            max_rss_hard=self.rnd.choice((None, 1000 * MIB)),
        )

    def process(self, name: str, policy: Policy, now: float, *, kafka: bool) -> Process:
        hits, draw = self.mix.hits, self.rnd.uniform
        self._pid += 1
        process = Process(name, self._pid, now, policy, beat_every=draw(0.1, 0.3) * policy.heartbeat_timeout)
        if hits("starved"):
            process.beat_every = 0.85 * policy.heartbeat_timeout
        process.hello_at = now + (draw(0.5, 3.0) * policy.hello_timeout if hits("slow_hello") else draw(0.01, 0.2))
        share = draw(0.5, 3.0) if hits("slow_ready") else draw(0.01, 0.95)
        process.ready_at = process.hello_at + share * policy.ready_timeout
        process.silent_loading = hits("silent_loading")
        process.slow_first_phase = draw(0.0, 0.4) if hits("slow_first_phase") else 0.0
        if hits("dies_loading"):
            process.dies_at = draw(now, process.ready_at)
            self._end_as(process, self.rnd.choice(("crash", "exits_zero", "config", "tempfail", "recycle")))
        else:
            self._fate(process, process.ready_at + 4 * policy.stable_after * self.rnd.random() ** 2)
        process.deaf = hits("deaf")
        process.obeys_drain = not hits("ignores_drain")
        process.end_takes = draw(0.1, 2.0) * policy.grace_period if hits("slow_end") else draw(0.01, 0.1)
        process.unkillable = draw(1.0, 30.0) if hits("unkillable") else 0.0
        process.leftovers = draw(0.05, 1.0) if hits("leftovers") else 0.0
        if hits("long_leftovers"):
            process.leftovers = draw(2.0, 40.0)
        process.member = f"{name}-{self._pid}" if kafka and self.rnd.random() < 0.8 else ""
        return process

    def _fate(self, process: Process, at: float) -> None:
        fate = next((fate for fate in FATES if self.mix.hits(fate)), "")
        match fate:
            case "hang":
                process.hangs_at = at
            case "stuck":
                process.stuck_from = at
            case "garbage":
                process.garbage_at = self.rnd.uniform(process.hello_at, at)
            case "fat":
                process.fat_from = at
            case "huge":
                process.fat_from, process.huge_from = at, at + self.rnd.choice((0.0, self.rnd.uniform(0.0, 5.0)))
            case "":
                pass
            case _:
                process.dies_at = at
                self._end_as(process, fate)

    def _end_as(self, process: Process, fate: str) -> None:
        process.status = {
            "crash": CRASH if self.rnd.random() < 0.5 else ExitStatus(signal=11),
            "exits_zero": ExitStatus(code=0),
            "config": ExitStatus(code=78, bye="no module named x"),
            "tempfail": ExitStatus(code=75, bye="database away"),
            "oom": ExitStatus(signal=9, oom=True),
            "recycle": ExitStatus(code=0, bye="recycle: max_runs reached"),
        }[fate]
