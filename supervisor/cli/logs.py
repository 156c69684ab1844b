"""RUNS IN THE USER'S TERMINAL: `supervisor logs`: reads the files itself, so nothing that restarts ends it."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import click

from supervisor import logs as form
from supervisor.cli import options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.cli.tail import Tail
from supervisor.core.errors import Exit, NoSuchChild
from supervisor.core.names import unknown
from supervisor.core.words import epoch

LOOK = 0.15  # seconds between two looks at the files
LINES = 50
LEVELS = ("debug", "info", "warning", "error")
Record = dict[str, object]
Wanted = Callable[[Record], bool]


@verb(example="supervisor logs -f notifications\nsupervisor logs --since 10m --level error")
@options.names(required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes; Ctrl-C ends it.")
@click.option("-n", "--lines", type=click.IntRange(0), help=f"How many, the latest. Default {LINES}; all with --since.")
@click.option("--since", type=options.Duration(), metavar="TIME", help="Only what is younger: 10m.")
@click.option("--level", type=click.Choice(LEVELS), help="Only this level and what is worse.")
@click.option("--grep", metavar="TEXT", help="Only lines that contain TEXT.")
@options.as_json
def logs(
    place: Place,
    names: Sequence[str],
    follow: bool,
    lines: int | None,
    since: float | None,
    level: str | None,
    grep: str | None,
    as_json: bool,
) -> int:
    """Show log lines of children, merged by time; all children when none is named."""
    reader = Reader(place, names, _wanted(level, grep))
    reader.check(place)
    most = lines if lines is not None else LINES if since is None else None
    show = Show(as_json=as_json)
    for found in reader.last(most, time.time() - since if since is not None else None, whole=not follow):
        show(found)
    if not follow and not reader.tails:
        terminal.tell(f"no log yet in {place.short(place.paths.logs)} (supervisor start)")
    while follow:
        terminal.flush()
        time.sleep(LOOK)
        for found in reader.more():
            show(found)
    return Exit.OK


def _wanted(level: str | None, grep: str | None) -> Wanted:
    least = LEVELS.index(level) if level else 0

    def wanted(record: Record) -> bool:
        rank = str(record.get("level", "info"))
        if level and (LEVELS.index(rank) if rank in LEVELS else len(LEVELS)) < least:
            return False
        return not grep or any(grep in str(record.get(key, "")) for key in ("text", "traceback", "reason"))

    return wanted


@dataclass(slots=True)
class Show:
    """Write records; between two processes of a child a separator."""

    as_json: bool
    _pids: dict[object, object] = field(default_factory=dict)

    def __call__(self, record: Record) -> None:
        child, pid = record.get("child"), record.get("pid")
        before = self._pids.get(child)
        if pid is not None:
            self._pids[child] = pid
        if self.as_json:
            terminal.say(form.json_line(record))
            return
        if pid is not None and before not in (None, pid) and child != "supervisor":
            terminal.say(self._separator(record))
        terminal.say(form.console(record, colour=terminal.colour()))

    def _separator(self, record: Record) -> str:
        said = {"child": record.get("child"), "time": record.get("time"), "text": f"── started, pid {record['pid']} "}
        return terminal.paint(form.console(said, colour=False) + "─" * 24, "dim", coloured=terminal.colour())


class Reader:
    """The files of some children; those that come later are found too."""

    def __init__(self, place: Place, names: Sequence[str], wanted: Wanted) -> None:
        self.tails: dict[str, Tail] = {}
        self._folder = place.paths.logs
        self._names = names
        self._wanted = wanted
        self._look()

    def last(self, most: int | None, since: float | None, *, whole: bool) -> list[Record]:
        """Return the latest records of all files by time: `most` of them (None: all), none older than `since`.

        `whole`: the line at the end that has no newline yet counts too.
        """
        streams = []
        for child, tail in self.tails.items():
            lines = tail.backwards()  # opened now: `more` begins here
            texts = chain([tail.partial()] if whole and tail.partial() else [], lines)
            streams.append(self._timed(_parsed(texts, child), tail.written(), most, since))
        merged = heapq.merge(*streams, key=lambda timed: timed[0], reverse=True)
        return [record for _, record in islice(merged, most)][::-1]

    def more(self) -> list[Record]:
        self._look()
        found = [form.parse(text, child=child) for child, tail in self.tails.items() for text in tail.more()]
        return [record for record in found if self._wanted(record)]

    def _timed(
        self, records: Iterator[Record], latest: float, most: int | None, since: float | None
    ) -> Iterator[tuple[float, Record]]:
        """Yield wanted records with a time that never rises. A line without one has that of the line before it."""
        untimed: list[Record] = []
        for record in records:
            at = epoch(record.get("time"))
            if at is not None:
                if since is not None and at < since:
                    break
                latest = min(latest, at)
                yield from ((latest, each) for each in (*untimed, record) if self._wanted(each))
                untimed = []
            elif self._wanted(record):
                untimed.append(record)
            if most is not None and len(untimed) >= most:
                break
        if since is None or latest >= since:
            yield from ((latest, each) for each in untimed)

    def check(self, place: Place) -> None:
        """Raise NoSuchChild for a name that is neither in config.toml nor has a log."""
        known = {name for kind in options.configured(place).values() for name in kind}
        known |= {part for child in self._children() for part in (child, child.partition(":")[0])}
        for name in self._names:
            if name not in known and name.partition(":")[0] not in known:
                raise NoSuchChild(unknown("child", name, known))

    def _look(self) -> None:
        for child in self._children():
            if child not in self.tails and self._named(child):
                self.tails[child] = Tail(os.path.join(self._folder, f"{child}.log"))

    def _children(self) -> list[str]:
        try:
            return sorted(file.removesuffix(".log") for file in os.listdir(self._folder) if file.endswith(".log"))
        except OSError:  # no such folder yet
            return []

    def _named(self, child: str) -> bool:
        return not self._names or child in self._names or child.rpartition(":")[0] in self._names


def _parsed(texts: Iterable[str], child: str) -> Iterator[Record]:
    return (form.parse(text, child=child) for text in texts)
