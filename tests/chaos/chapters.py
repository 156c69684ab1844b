"""RUNS IN THE SOAK: chapters: some faults, then none, and then everything is judged."""

from __future__ import annotations

import random
import time
from pathlib import Path

from chaos import judge, proc, scene
from chaos.flow import Flow
from chaos.nemesis import Nemesis
from chaos.shared import Breach, Life, now, say
from support.supervisor_process import NotAnswering

CHAPTER = (35.0, 60.0)  # seconds of faults
PAUSE = (0.1, 1.3)  # between two of them
HEALED = 30.0  # seconds after the last fault in which all that is wanted is ready: a hang, its grace, the longest wait
HUNG = 20.0  # seconds in which a run that hangs is found out, killed and replaced
FLOWED = 45.0  # seconds in which all records that were acknowledged are handled; a dead member must be found out
GROWTH = 3.0  # MiB that a supervisor may grow by from one chapter to the next
LOGS = 12 * 2**20  # bytes in all logs; each may have 256 KiB, the one put aside twice that


class Soak:
    def __init__(self, living: Life, flow: Flow, seed: int, slack: float, *, disk: bool) -> None:
        self.living, self.flow, self.slack = living, flow, slack
        self.rng = random.Random(seed)
        self.nemesis = Nemesis(living, flow, self.rng, slack)
        self.nemesis.disk = disk
        self.chapters = 0
        self.sizes: dict[int, list[proc.Size]] = {}  # of each supervisor, at the end of each chapter
        self.healed: list[float] = []
        self.canaries: dict[int, set[int]] = {}
        self.letters = 0

    @property
    def folder(self) -> Path:
        return self.living.project.folder

    def run(self, minutes: float) -> None:
        end = now() + minutes * 60
        self.nemesis.start()
        self._heal()
        while now() < end:
            self._chapter(min(self.rng.uniform(*CHAPTER), max(end - now(), 5.0)))
        self.flow.end()
        self._judge_flow()
        self._judge_commits()
        self.check()

    def check(self) -> None:
        """Raise when the watcher saw a breach."""
        if found := judge.whole_lines(self.folder / "breaches"):
            raise Breach("\n  ".join(found[:20]))

    def _chapter(self, seconds: float) -> None:
        end = now() + seconds
        while now() < end:
            self.nemesis.strike()
            self.check()
            if self.rng.random() < 0.1:
                self._judge_ahead()
            time.sleep(self.rng.uniform(*PAUSE))
        self._heal()
        self._judge_slots()
        self._judge_flow()
        self._judge_size()
        self._judge_family()
        self._judge_disk()
        if wrong := judge.events(judge.whole_lines(self.living.project.state / "events")):
            raise Breach("events:\n  " + "\n  ".join(wrong[:20]))
        self.check()
        self.chapters += 1
        faults = sum(self.nemesis.done.values())
        say(
            f"chapter {self.chapters}: {faults} faults, {self.flow.count} records, healed after {self.healed[-1]:.1f} s"
        )

    def _heal(self) -> None:
        """Liveness: within a bound after the last fault all that is wanted is ready."""
        began, last = now(), "nobody answers"
        self.nemesis.relent()
        while now() < began + HEALED + self.slack:
            try:
                down = [c for c in self.living.supervisor.status()["children"] if not _well(c)]
                last = str(down)
                if not down and (self.nemesis.changing is None or "changing" in self.living.children()):
                    self.healed.append(now() - began)
                    return
            except NotAnswering:
                last = "nobody answers"
            self.check()
            time.sleep(0.1)
        raise Breach(f"not healed within {HEALED + self.slack:g} s: {last}\n{self.living.supervisor.stderr[-3000:]}")

    def _judge_slots(self) -> None:
        """Each slot up to now has one record, as soon as the run that hangs is ended and a runner is back."""
        until, end = time.time(), now() + HUNG + self.slack
        while wrong := [text for name, every in scene.EVERY.items() for text in self._slots(name, every, until)]:
            if now() > end:
                raise Breach("ledger:\n  " + "\n  ".join(wrong[:20]))
            time.sleep(0.5)

    def _slots(self, name: str, every: float, until: float) -> list[str]:
        path = self.living.project.state / "history" / f"{name}.db"
        lines = judge.whole_lines(self.folder / f"{name}.started")
        return judge.slots(name, path, every, until) + judge.starts(name, lines, path)

    def _judge_flow(self) -> None:
        """All that was acknowledged by now is handled, in order modulo replays; or it is a dead letter."""
        acked = self.flow.so_far()
        letters = self.flow.letters() if self.flow.real else set()
        self.letters = len(letters)
        for name in scene.CONSUMERS:
            end = now() + FLOWED + self.slack
            while missing := self._missing(name, acked, letters):
                if now() > end:
                    raise Breach(f"{name}: records lost: {sorted(missing)[:20]} of {sum(map(len, acked.values()))}")
                time.sleep(0.5)
            jumps = judge.stored(judge.whole_lines(self.folder / f"{name}.stored")).jumps
            over = [jump for jump in jumps if not self._letters_only(jump, letters)]
            if over:
                raise Breach(f"{name}: records came before those before them (partition, expected, came): {over[:20]}")

    def _missing(self, name: str, acked: dict[int, set[int]], letters: set[tuple[int, int]]) -> set[tuple[int, int]]:
        found = judge.stored(judge.whole_lines(self.folder / f"{name}.stored")).offsets
        lost = {(partition, o) for partition, all_ in acked.items() for o in all_ - found.get(partition, set())}
        return lost - letters

    @staticmethod
    def _letters_only(jump: tuple[int, int, int], letters: set[tuple[int, int]]) -> bool:
        partition, expected, came = jump
        return all((partition, offset) in letters for offset in range(expected, came))

    def _judge_ahead(self) -> None:
        """At any moment: what is committed was handled, or is a dead letter."""
        for name in scene.CONSUMERS:
            committed = self.flow.committed(f"{name}-{self.flow.topic}")
            found = judge.stored(judge.whole_lines(self.folder / f"{name}.stored")).offsets
            ahead = {p: (c, max(found.get(p, {-1}))) for p, c in committed.items() if c > max(found.get(p, {-1})) + 1}
            if ahead and not (self.flow.real and self.flow.letters()):
                raise Breach(
                    f"{name}: committed before it was handled (partition: committed, highest handled): {ahead}"
                )

    def _judge_commits(self) -> None:
        """At the end the group stands at the end of every partition."""
        for name in scene.CONSUMERS:
            end = now() + FLOWED
            while True:
                committed = self.flow.committed(f"{name}-{self.flow.topic}")
                ends = {p: max(offsets) + 1 for p, offsets in self.flow.so_far().items()}
                beyond = {p: (committed[p], last) for p, last in ends.items() if committed[p] > last}
                if beyond:
                    raise Breach(f"{name}: committed beyond what was sent: {beyond}")
                if all(committed[p] == last for p, last in ends.items()):
                    break
                if now() > end:
                    raise Breach(f"{name}: committed {committed}, sent {ends}")
                time.sleep(0.5)

    def _judge_size(self) -> None:
        """What a supervisor holds is the same at the end of each chapter that it lived through."""
        pid = self.living.supervisor.pid
        found = proc.size(pid)
        before = self.sizes.setdefault(pid, [])
        before.append(found)
        first = before[0]
        with_changing = 6  # descriptors of one child more or less
        if found.threads != 1 or abs(found.descriptors - first.descriptors) > with_changing:
            raise Breach(f"the supervisor held {first} and holds {found}: {proc.held(pid)}")
        if len(before) > 2 and found.rss > before[1].rss + GROWTH:
            raise Breach(f"the supervisor's memory grows: {[round(each.rss, 1) for each in before]}")
        self._judge_spared(pid)

    def _judge_family(self) -> None:
        """Of all the programs that children left behind, those of the one living family are there, and no other."""
        end = now() + 5 + self.slack
        while len(found := [seen for seen in self.living.left() if "sleep 3600" in seen.title]) != scene.SLEEPERS:
            if now() > end:
                raise Breach(f"expected {scene.SLEEPERS} sleeping programs, found {found}")
            time.sleep(0.1)

    def _judge_disk(self) -> None:
        """Floods of output were put aside and shortened."""
        size = sum(path.stat().st_size for path in (self.living.project.state / "logs").iterdir())
        if size > LOGS:
            raise Breach(f"the logs have {size >> 20} MiB")

    def _judge_spared(self, parent: int) -> None:
        """Nobody harms it: under one supervisor it has one process, whatever happens around it."""
        lines = [line.split() for line in judge.whole_lines(self.folder / "births")]
        pids = {line[1] for line in lines if line[0] == scene.SPARED and line[3] == str(parent)}
        if len(pids) > 1:
            raise Breach(f"{scene.SPARED}, which nobody harmed, was replaced: {pids}")


def _well(child: dict[str, object]) -> bool:
    return bool(child["ready"]) or not child["wanted"] or child["name"] == scene.NEVER_WELL
