"""RUNS IN THE USER'S TERMINAL: `supervisor explain`: why a child is as it is, and what to type next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supervisor import logs as form
from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.logs import Reader
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import escape, line
from supervisor.core.status import healthy, sentence, state
from supervisor.core.words import ago, coarse, epoch, short

LAST_LINES = 5
STACK_LINES = 12
Facts = Mapping[str, Any]


@verb(example="supervisor explain task1")
@options.one_name
def explain(place: Place, name: str) -> int:
    """Say why a child is in its state, what it did last, and what to do."""
    now = time.time()
    for child in _members(ask.child(place, name)):
        lines = [
            _line(found) for found in Reader(place, [str(child.get("name"))], _all).last(LAST_LINES, None, whole=True)
        ]
        terminal.say_all(explained(child, lines, now))
    return Exit.OK


def explained(child: Facts, lines: Sequence[str], now: float) -> list[str]:
    """Return the headline and below it what is known, each with a word in front. `now` is epoch seconds."""
    made = [". ".join(_headline(child, now)) + "."]
    failures = child.get("failures")
    for title, texts in (
        ("last exit", _last_exit(child.get("last_exit"), now)),
        ("failures", _failures(failures, now) if isinstance(failures, Mapping) else []),
        ("last run", _last_run(child.get("last_run"), now)),
        ("error", _one(child.get("last_error"))),
        ("note", _one(child.get("note"))),
        ("doing", _doing(child)),
        ("reads", _reads(child)),
        ("stacks", str(child.get("stacks") or "").splitlines()[-STACK_LINES:]),
        ("last lines", lines),
        ("config", _config(child)),
        ("try", _next(child)),
    ):
        for at, text in enumerate(texts):
            made.append(f"  {title if not at else '':<10}  {escape(text)}")
    return made


def _headline(child: Facts, now: float) -> Iterator[str]:
    yield sentence(child)
    if failures := child.get("restarts"):
        yield f"{failures} failure{'s' if failures != 1 else ''} in a row"
    if retry := epoch(child.get("next_try")):
        yield f"Next try in {coarse(round(retry - now))}"
    if state(child) == "fatal":
        yield "Not tried again until config or code changes, or somebody restarts it"
    override = child.get("override")
    if isinstance(override, Mapping):
        until = epoch(override.get("until"))
        end = f" for another {coarse(round(until - now))}" if until else ""
        note = f": {line(str(override['note']))}" if override.get("note") else ""
        what = "enabled" if override.get("enabled") else "disabled"
        yield f"{what.capitalize()} at run time by {line(str(override.get('who')))}{end}{note}"


def _last_exit(last: object, now: float) -> list[str]:
    if not isinstance(last, Mapping):
        return []
    how = f"signal {last['signal']}" if last.get("signal") else f"code {last.get('code')}"
    at = epoch(last.get("time"))
    said = [f"{last.get('cause')} ({how})" + (f" {ago(now - at)}" if at else "")]
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
    said += f", the first {ago(now - first)}" if first else ""
    same = failures.get("same_error") or 0
    said += f", the same error {same} times" if same > 1 else ""
    loop = f"crash loop: {failures.get('limit')} within {short(failures.get('window') or 0.0)}"
    return [said, *([f"{loop}; on_crash_loop = {failures.get('on_crash_loop')}"] if failures.get("crash_loop") else [])]


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
        f"{p.get('topic')}[{p.get('partition')}] at {p.get('position')}, lag {p.get('lag')}"
        + (", paused" if p.get("paused") else "")
        for p in parts
    ]


def _config(child: Facts) -> list[str]:
    return [f"{child.get('where') or 'config.toml'}  {child.get('schedule') or ''}".rstrip()]


def _next(child: Facts) -> list[str]:
    name, word = child.get("name"), state(child)
    group = child.get("group") or name
    if word == "disabled":
        return [f"supervisor enable {group}"]
    if word in ("backoff", "fatal"):
        alone = [f"supervisor run {group} --local   (in this terminal, breakpoint() works)"]
        return [
            f"supervisor logs {name}",
            *(alone if child.get("kind") == "task" else []),
            f"supervisor restart {name}   (now, the count begins again)",
            f"supervisor disable {group}",
        ]
    if not healthy(child):
        return [f"supervisor logs -f {name}"]
    more = f"supervisor history {group}" if child.get("kind") == "task" else f"supervisor status {group} --json"
    return [f"supervisor logs -f {name}", more]


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
