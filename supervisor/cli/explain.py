"""RUNS IN THE USER'S TERMINAL: `supervisor explain`: why a child is as it is, and what to type next."""

from __future__ import annotations

import linecache
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from supervisor import logs as form
from supervisor.cli import ask, lately, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.logs import Reader
from supervisor.cli.place import Place
from supervisor.core import advice, culprit
from supervisor.core.errors import Exit
from supervisor.core.escape import escape, line
from supervisor.core.kafka import joining, standstill
from supervisor.core.prose import wrap
from supervisor.core.status import healthy, sentence, state
from supervisor.core.words import ago, coarse, epoch, short

LAST_LINES = 5
RECORDS = 200  # log lines in which a traceback is looked for
STACK_LINES = 12
SOURCE = 100  # characters of a line of code
LABEL = 14  # columns in front of what is told
HANGING = 2  # and so many more where a line goes on
Facts = Mapping[str, Any]
_AFTER = {
    "hold": "it goes on at the longest wait (on_crash_loop = hold)",
    "fatal": "it is given up (on_crash_loop = fatal)",
    "exit": "the supervisor ends (on_crash_loop = exit)",
}


@verb(example="supervisor explain task1")
@options.one_name
def explain(place: Place, name: str) -> int:
    """Say why a child is in its state, what it did last, and what to do."""
    now = time.time()
    for child in _members(ask.child(place, name)):
        records = Reader(place, [str(child.get("name"))], _all).last(RECORDS, None, whole=True)
        lines = [_line(found) for found in records[-LAST_LINES:]]
        found = replace(_found(place, child, records), lately=lately.lines(place, child, now))
        terminal.say_all(explained(child, lines, now, found, terminal.columns()))
    return Exit.OK


@dataclass(frozen=True, slots=True)
class Found:
    """What this side finds out by itself: in the child's log and in the project's folder."""

    error: str = ""  # of the last traceback
    at: str = ""  # tasks/task1.py:18 in run
    code: str = ""  # the file of the child's function
    changed: float | None = None  # when that was saved last, epoch seconds
    lately: Sequence[str] = ()  # of a task: what did not run


def explained(
    child: Facts, lines: Sequence[str], now: float, found: Found = Found(), columns: int | None = None
) -> list[str]:
    """Return the headline and below it what is known, each with a word in front. `now` is epoch seconds."""
    troubled = not healthy(child) or bool(child.get("restarts")) or advice.timed_out(child)
    stacks = culprit.readable(str(child.get("stacks") or "")) if troubled else []
    made = wrap(". ".join(_headline(child, now)) + ".", columns, hanging=2 * HANGING)
    failures = child.get("failures")
    for title, texts in (
        ("means", advice.means(child)),
        ("last exit", _last_exit(child, now)),
        ("failures", _failures(failures, now) if isinstance(failures, Mapping) else []),
        ("last run", _last_run(child.get("last_run"), now)),
        ("last day", found.lately),
        ("error", _error(child, found) if troubled or child.get("last_error") else []),
        ("note", _one(child.get("note"))),
        ("doing", _doing(child)),
        ("reads", _reads(child)),
        ("outcomes", _outcomes(child)),
        ("stacks", stacks[:STACK_LINES]),
        ("last lines", lines),
        ("config", _config(child)),
        ("code", _code(child, found, now)),
        ("try", advice.next_steps(child)),
    ):
        for at, text in enumerate(texts):
            labelled = f"  {title if not at else '':<10}  {escape(text)}"
            made += wrap(labelled, columns, hanging=LABEL + HANGING)
    return made


def _headline(child: Facts, now: float) -> Iterator[str]:
    yield sentence(child) + (", but its runs are paused" if advice.runs_paused(child) else "")
    if failures := child.get("restarts"):
        yield f"{failures} failure{'s' if failures != 1 else ''} in a row"
    if retry := epoch(child.get("next_try")):
        yield f"Next try in {coarse(round(retry - now))}"
    if state(child) == "fatal":
        yield "Not tried again until config or code changes, or somebody restarts it"
    paused = child.get("paused_by")
    if isinstance(paused, Mapping):
        yield f"Paused by hand by {line(str(paused.get('who')))}, {ago(now - (epoch(paused.get('since')) or now))}"
    override = child.get("override")
    if isinstance(override, Mapping):
        until = epoch(override.get("until"))
        end = f" for another {coarse(round(until - now))}" if until else ""
        note = f": {line(str(override['note']))}" if override.get("note") else ""
        what = "enabled" if override.get("enabled") else "disabled"
        yield f"{what.capitalize()} at run time by {line(str(override.get('who')))}{end}{note}"


def _last_exit(child: Facts, now: float) -> list[str]:
    last, lived = child.get("last_exit"), child.get("lived")
    if not isinstance(last, Mapping):
        return []
    asked = last.get("cause") == "planned" and last.get("phase") not in (standstill.PHASE, joining.PHASE)
    if asked and state(child) == "running":
        return []  # a restart that was asked for is no news of one that is well
    how = f"signal {last['signal']}" if last.get("signal") else f"code {last.get('code')}"
    at = epoch(last.get("time"))
    said = [f"{last.get('cause')} ({how})" + (f" at {_clock(at)}, {ago(now - at)}" if at else "")]
    said[0] += f", {short(lived)} after its start" if isinstance(lived, (int, float)) else ""
    if last.get("reason"):
        said.append(line(str(last["reason"])))
    if last.get("phase"):
        said.append(f"while {last['phase']} {_position(last)}".rstrip())
    if last.get("not_evicted"):
        said.append(line(str(last["not_evicted"])))
    return said


def _failures(failures: Facts, now: float) -> list[str]:
    if not failures.get("in_row"):
        return []
    said = f"{failures['in_row']} in a row, {failures.get('total')} in all"
    first = epoch(failures.get("first"))
    said += f", the first at {_clock(first)}, {ago(now - first)}" if first else ""
    same = failures.get("same_error") or 0
    said += f", the same error {same} times" if same > 1 else ""
    limit = f"{failures.get('limit')} within {short(failures.get('window') or 0.0)}"
    after = _AFTER.get(str(failures.get("on_crash_loop")), "")
    if failures.get("crash_loop"):
        return [said, f"crash loop: {limit}; {after}"]
    recent = failures.get("recent")
    return [said, f"{recent} so far of {limit} that are a crash loop; then {after}"] if recent else [said]


def _last_run(run: object, now: float) -> list[str]:
    if not isinstance(run, Mapping):
        return []
    at, took = epoch(run.get("finished") or run.get("slot")), run.get("duration")
    said = f"{run.get('state')}" + (f" {ago(now - at)}" if at else "")
    said += f", took {short(took)}" if isinstance(took, (int, float)) else ""
    return [said, *_one(run.get("error") or run.get("reason"))]


def _doing(child: Facts) -> list[str]:
    if not child.get("phase") or child.get("pid") is None:
        return []
    age = child.get("phase_age")
    since = f" for {short(age)}" if isinstance(age, (int, float)) else ""
    return [f"{child['phase']} {line(str(child.get('subject') or ''))}".rstrip() + since + f", pid {child['pid']}"]


def _reads(child: Facts) -> list[str]:
    found = child.get("partitions")
    parts = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    return [
        f"{p.get('topic')}[{p.get('partition')}] at {_known(p.get('position'))}, lag {_known(p.get('lag'))}"
        + (", paused" if p.get("paused") else "")
        for p in parts
    ]


def _outcomes(child: Facts) -> list[str]:
    """What became of records that were not simply handled."""
    found = child.get("outcomes")
    if not isinstance(found, Mapping):
        return []
    return [", ".join(f"{amount} {line(str(what)).replace('_', ' ')}" for what, amount in found.items())]


def _known(number: object) -> str:
    return "-" if number is None else str(number)


def _error(child: Facts, found: Found) -> list[str]:
    said = _one(found.error or child.get("last_error"))
    return ["   ".join([*said, *_one(found.at)])] if said or found.at else []


def _config(child: Facts) -> list[str]:
    parts = (child.get("where") or "config.toml", child.get("section"), child.get("schedule"))
    return ["  ".join(str(part) for part in parts if part)]


def _code(child: Facts, found: Found, now: float) -> list[str]:
    if not found.code:
        return _one(child.get("target"))
    changed = f" (changed {ago(now - found.changed)})" if found.changed is not None else ""
    return [f"{found.code}{changed}, {child.get('target')}"]


def _position(last: Facts) -> str:
    offset = last.get("offset")
    if isinstance(offset, int) and offset >= 0:
        return f"{last.get('subject')}[{last.get('partition')}]@{offset}"
    return str(last.get("subject") or "")


def _one(text: object) -> list[str]:
    return [line(str(text).strip())] if text else []


def _members(reply: Facts) -> list[Facts]:
    found = reply.get("members") or [reply]
    return [each for each in found if isinstance(each, Mapping)]


def _line(record: Facts) -> str:
    """A record without its child: the whole page is about that one."""
    return f"{form.local(record.get('time'))} {form.said(record, colour=False)}"


def _all(record: Facts) -> bool:
    return True


def _clock(at: float) -> str:
    return form.local(form.stamp(at)).partition(".")[0]


def _source(project: str, at: str) -> str:
    """Return what stands in that line, if the file still has it."""
    file, _, rest = at.partition(":")
    number = rest.partition(" ")[0]
    text = linecache.getline(os.path.join(project, file), int(number)).strip() if number.isdigit() else ""
    return f": {text[:SOURCE]}" if text else ""


def _found(place: Place, child: Facts, records: Sequence[Facts]) -> Found:
    project = os.path.dirname(place.config)
    last = culprit.latest([record.get("traceback") for record in records], project)
    stacks = culprit.guilty(str(child.get("stacks") or ""), project)
    error, at = (str(child.get("last_error") or ""), stacks) if stacks else last or ("", None)
    at = at and at + _source(project, at)
    for file in culprit.module_file(str(child.get("target") or "")):
        try:
            return Found(error, at or "", file, os.stat(os.path.join(project, file)).st_mtime)
        except (OSError, ValueError):
            continue  # a package, or installed elsewhere
    return Found(error, at or "")
