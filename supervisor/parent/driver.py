"""RUNS IN THE PARENT: between the fleet, which decides, and the processes, which are.

Events of the kernel and of children go to the fleet; the actions it returns are carried out here. Nothing is
decided here, and nothing here blocks. Forks come last in a turn, when all exits of the turn are reaped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import Action
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.lifecycle.fleet import Actions, Fleet
from supervisor.core.wire import frames
from supervisor.core.wire.messages import (
    DUMP_SIGNAL,
    Beat,
    Bye,
    Facts,
    Hello,
    Notice,
    Order,
    Ready,
    Run,
    Stacks,
    from_frame,
    order_to_frame,
)
from supervisor.parent.known import NOTICES, Known
from supervisor.parent.oom import OomCounter
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.process import SIGCONT, SIGTERM, Process
from supervisor.parent.strangers import Strangers

FORKS_A_TURN = 16  # about 50 ms; then signals, messages and clients have their turn again
MAX_BAD_FRAMES = 100
READS_AT_EXIT = 16  # a pipe holds 64 KiB; more than that comes only from what still holds its other end


class Surroundings(Protocol):
    """What the driver asks of the supervisor around it."""

    def fork(self, name: str) -> Process: ...
    def born(self, name: str, process: Process) -> None: ...
    def evict(self, name: str, member: str) -> None: ...
    def changed(self, name: str, change: ev.Changed) -> None: ...
    def said(self, name: str, level: str, code: str, text: str) -> None: ...
    def noticed(self, name: str, level: str, code: str, text: str) -> None: ...
    def run_ended(self, name: str, run: Run) -> None: ...
    def stacks_came(self, name: str, part: Stacks) -> None: ...
    def ended(self, name: str, process: Process, known: Known) -> None: ...
    def escalate(self, reason: str) -> None: ...


class Driver:
    def __init__(self, fleet: Fleet, poller: Poller, around: Surroundings, strangers: Strangers) -> None:
        self.fleet = fleet
        self.processes: dict[str, Process] = {}
        self.known: dict[str, Known] = {}
        self.listened: set[str] = set()  # whose messages wake the loop: until READY, and while a run is waited for
        self._poller = poller
        self._around = around
        self._strangers = strangers
        self._name_of: dict[int, str] = {}  # message pipe or pidfd -> child
        self._to_fork: deque[str] = deque()
        self._oom = OomCounter()

    # Actions out.

    def act(self, actions: Actions, now: float) -> None:
        for name, action in actions:
            self._one(name, action, now)

    def _one(self, name: str, action: Action, now: float) -> None:
        process = self.processes.get(name)
        match action:
            case ev.Spawn():
                self._to_fork.append(name)
            case ev.Drain() if process:
                if not self.order(name, Order("drain", {})):
                    process.send(SIGTERM)
            case ev.Terminate() if process:
                process.send(SIGTERM)
                process.send(SIGCONT)  # a stopped process gets the first only after the second
            case ev.Kill() if process:
                process.kill()
            case ev.Dump() if process:
                self.known[name].condemned_for = process.doing()
                process.send(DUMP_SIGNAL)
                process.send(SIGTERM)  # with it: what holds it up may end by the first, and begin another run
            case ev.Prepare(member):
                self._around.evict(name, member)
            case ev.Changed():
                self._around.changed(name, action)
            case ev.Said(text, level, code):
                self._around.said(name, level, code, text)
            case ev.Escalate(reason):
                self._around.escalate(reason)

    def feed(self, name: str, event: ev.Event, now: float) -> None:
        self.act(self.fleet.step(name, event, now), now)

    def tick(self, now: float) -> None:
        """Judge what is due, but only after a look: what a child said in time counts, also when we come late."""
        for name in self.fleet.due(now):
            if name in self.processes:
                self.look(name, now)
        self.act(self.fleet.tick(now), now)

    def order(self, name: str, order: Order) -> bool:
        process = self.processes.get(name)
        return process is not None and process.write(frames.encode(order_to_frame(order)))

    # Forks.

    @property
    def forks_pending(self) -> bool:
        return bool(self._to_fork)

    def fork_pending(self, now: float) -> None:
        """One fork after another, and only then what is to be noted of each.

        What the parent writes to between two forks is copied for the child: the less, the lighter it is.
        """
        forked: dict[str, Process] = {}  # the name may be in the queue twice: called off, and wanted again
        for _ in range(min(FORKS_A_TURN, len(self._to_fork))):
            name = self._to_fork.popleft()
            child = self.fleet.children.get(name)
            if child and child.to_be_forked and name not in forked and (process := self._fork(name, now)):
                forked[name] = process
        for name, process in forked.items():
            self._forked(name, process, now)

    def _fork(self, name: str, now: float) -> Process | None:
        """Refused is what left no process behind, and only that: the next try would make a second one."""
        try:
            process = self._around.fork(name)
            self._poller.register_all(_lanes(process), otherwise=process.discard)
            return process
        except (OSError, RuntimeError) as error:  # EAGAIN, ENOMEM, EMFILE; a library's thread in the parent
            self.feed(name, ev.SpawnFailed(f"could not be forked: {error}"), now)
            return None

    def _forked(self, name: str, process: Process, now: float) -> None:
        self.processes[name] = process
        self.known.setdefault(name, Known()).born()
        self._name_of |= dict.fromkeys(_lanes(process), name)
        self.listened.add(name)
        self._around.born(name, process)
        self.feed(name, ev.Spawned(process.pid), now)

    # Messages in.

    def on_message(self, fd: int, now: float) -> None:
        if name := self._name_of.get(fd):
            self._read(name, now)

    def look(self, name: str, now: float) -> None:
        """Drain the child's pipe, read its page, and tell the fleet."""
        self._read(name, now)
        self._pulse(name, now)

    def look_at_all(self, now: float) -> None:
        """The fleet hears of a child at rest that it beats when it would miss that: `tick` looks before it judges."""
        for name in list(self.processes):
            known = self.known[name]
            before = known.doing
            self._read(name, now)
            process = self.processes.get(name)
            if process and (process.doing() is not before or not self.fleet.children[name].at_rest):
                self._pulse(name, now)

    def _pulse(self, name: str, now: float) -> None:
        process, known = self.processes.get(name), self.known[name]
        if process:
            known.doing = process.doing() or known.doing
            rss = known.beat.rss if known.beat else 0
            self.feed(name, ev.Pulse(known.beat_at, known.doing, rss), now)

    def listen(self, name: str, on: bool) -> None:
        """Let the child's messages wake the loop, or leave them to the look of every second."""
        process = self.processes.get(name)
        if process and not process.silent and on != (name in self.listened):
            if on:
                self._poller.register(process.messages, Lane.MESSAGE)
            else:
                self._poller.unregister(process.messages)
        (self.listened.add if on else self.listened.discard)(name)

    def _read(self, name: str, now: float) -> bool:
        """Take what has come; True when there was something."""
        process = self.processes[name]
        if process.silent:
            return False
        found = process.read()
        if process.silent:
            self._poller.unregister(process.messages)  # its end is closed: it would be readable for ever
        for frame in found:
            self._hear(name, frame, now)
        if process.decoder.bad > MAX_BAD_FRAMES or process.decoder.broken:
            self.feed(name, ev.Broken("sent what are no messages"), now)
        return bool(found)

    def _hear(self, name: str, frame: dict[str, object], now: float) -> None:
        known = self.known[name]
        match from_frame(frame):
            case Beat() as beat:
                known.heard(beat, now)
            case Facts(facts):
                known.learn(facts)
            case Run() as run:
                self._around.run_ended(name, run)
            case Stacks() as part:
                self._around.stacks_came(name, part)
            case Notice() as notice:
                self._notice(name, notice, known.count_notice(now))
            case Hello(generation) if generation == self.fleet.children[name].generation:
                known.beat_at = now
                self.feed(name, ev.Greeted(), now)
            case Ready():
                self.listen(name, on=False)  # before the event: who waits for a run listens again
                self.feed(name, ev.BecameReady(), now)
            case Bye(_, reason):
                known.bye = reason
            case _:
                self.processes[name].decoder.bad += 1

    def _notice(self, name: str, notice: Notice, number: int) -> None:
        """Each is a line in files and an event: a flood of them must not become one of ours."""
        if number <= NOTICES:
            self._around.noticed(name, notice.level, notice.code, notice.text)
        elif number == NOTICES + 1:
            self._around.said(name, "warning", "flood", f"more than {NOTICES} notices a second: the rest is left out")

    # Exits in.

    def on_exits(self, pidfds: Iterable[int], now: float) -> None:
        """All exits of one turn together: what they left behind may be anybody's of them."""
        ended = [(name, self._reap(name, now)) for name in map(self._name_of.get, pidfds) if name]
        if not ended:
            return
        leftovers = self._strangers.find([name for name, _ in ended])
        for name, status in ended:
            self._bury(name, status, leftovers=leftovers and bool(self._strangers.of(name)), now=now)

    def on_stranger(self, pidfd: int, now: float) -> None:
        for name in self._strangers.gone(pidfd):
            self.feed(name, ev.Cleared(), now)

    def _reap(self, name: str, now: float) -> ExitStatus:
        for _ in range(READS_AT_EXIT):
            if not self._read(name, now):
                break
        process, known = self.processes[name], self.known[name]
        known.doing = process.doing() or known.doing
        known.stacks = process.stacks()
        status = process.reap()
        killed_by_another = status.signal == 9 and 9 not in process.signalled
        oom = killed_by_another and self._oom.grew()
        return ExitStatus(status.code, status.signal, oom, known.bye, status.member)

    def _bury(self, name: str, status: ExitStatus, *, leftovers: bool, now: float) -> None:
        process = self.processes.pop(name)
        for fd in _lanes(process):
            self._name_of.pop(fd, None)
            self._poller.unregister(fd)
        self.listened.discard(name)
        self.known[name].not_evicted = ""
        self.feed(name, ev.Exited(status, leftovers), now)
        self._remember(name, process, status)
        self._around.ended(name, process, self.known[name])
        process.close()

    def _remember(self, name: str, process: Process, status: ExitStatus) -> None:
        child = self.fleet.children.get(name)
        if child and child.last:
            self.known[name].remember(*child.last, status, ran=process.ran(), at=time.time())


def _lanes(process: Process) -> dict[int, Lane]:
    return {process.messages: Lane.MESSAGE, process.pidfd: Lane.EXIT}
