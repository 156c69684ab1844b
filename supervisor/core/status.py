"""What a status means: who is healthy, what is wrong in words, and the table that fits a terminal.

Reads the JSON of /v1/status and trusts none of its texts: every one that leaves here is a line (core/escape).
Named tuples, because each dataclass would cost `supervisor status` most of a millisecond.
Rules people asked for: deliberately disabled is healthy; starting is not ready; waiting is not ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from supervisor.core.escape import line
from supervisor.core.prose import gist, shorten
from supervisor.core.words import ago, coarse, cut, epoch, short, size, width

Facts = Mapping[str, Any]
GAP = 2
NOTE_GOOD = 28  # columns: for these, what is only nice to know goes
NOTE_LEAST = 20  # a shorter note says nothing: "off by root, 2h left"
SCHEDULE_MOST = 26
_DROPPED = ("CPU", "MEM", "BEAT", "PID", "RESTARTS", "UPTIME", "SCHEDULE")  # the first goes first
_FOR_NOTE = (("NEXT",), ("LAST RUN",), ("LAST RUN", "NEXT"), ("NOTE",))  # then these, while a note has no place
_SHRUNK = ("NOTE", "LAST RUN", "SCHEDULE", "NAME", "NEXT", "STATE")  # when nothing is left to drop
_STATES = {
    "running": ("●", "green"),
    "starting": ("▶", "cyan"),
    "waiting": ("◐", "yellow"),
    "backoff": ("◐", "yellow"),
    "stopping": ("■", "blue"),
    "stopped": ("○", "dim"),
    "disabled": ("○", "dim"),
    "fatal": ("✗", "red"),
}
_RUNS = {"ok": ("✓", ""), "skipped": ("○", "dim"), "missed": ("○", "dim"), "interrupted": ("■", "yellow")}


class Cell(NamedTuple):
    text: str = "-"
    style: str = ""  # green, yellow, red, blue, cyan, dim


class Table(NamedTuple):
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    widths: tuple[int, ...]


class Problem(NamedTuple):
    name: str
    text: str  # a sentence without its full stop: "task1 is in backoff: ConnectionError"


class Verdict(NamedTuple):
    ok: bool
    problems: tuple[Problem, ...]


def state(child: Facts) -> str:
    """Return the word people see: the child's state, or `disabled`, or `waiting`."""
    found = str(child.get("state", "stopped"))
    if found == "stopped" and not child.get("enabled", True):
        return "disabled"
    return "waiting" if found == "running" and child.get("waiting") else found


def healthy(child: Facts) -> bool:
    """A child is healthy when it is ready, or when nobody wants it to run."""
    if not child.get("enabled", True):
        return True
    return state(child) == "running" and bool(child.get("ready", True))


def verdict(status: Facts) -> Verdict:
    problems = [Problem(_name(child), sentence(child)) for child in children(status) if not healthy(child)]
    about = status.get("supervisor")
    how = about.get("state", "running") if isinstance(about, Mapping) else "running"
    if how != "running":
        problems.insert(0, Problem("supervisor", f"the supervisor is {line(str(how))}"))
    return Verdict(not problems, tuple(problems))


def children(status: Facts) -> list[Facts]:
    found = status.get("children")
    return [child for child in found if isinstance(child, Mapping)] if isinstance(found, list) else []


def named(status: Facts, names: Iterable[str]) -> list[Facts]:
    """Return the children of these names or groups, in the order of the status; all when there are no names."""
    wanted = set(names)
    return [c for c in children(status) if not wanted or c.get("name") in wanted or c.get("group") in wanted]


def sentence(child: Facts) -> str:
    """Say in words how the child stands: task1 is in backoff: ConnectionError: db:5432 refused."""
    word = state(child)
    said = {"backoff": "in backoff", "running": "not ready" if not child.get("ready", True) else "running"}
    why = line(gist(str(_why(child) or ""))) if word != "disabled" else ""
    return f"{_name(child)} is {line(said.get(word, word))}" + (f": {why}" if why else "")


def table(status: Facts, columns: int | None, now: float) -> Table:
    """Return the columns that fit `columns` (None: all of them, nothing is cut). `now` is epoch seconds."""
    rows = [_row(child, now) for child in children(status)]
    header = list(rows[0]) if rows else ["NAME", "STATE", "LAST RUN", "NEXT"]
    if rows and not any(row["NOTE"].text for row in rows):
        header.remove("NOTE")
    widths = {h: max([width(h), *(width(row[h].text) for row in rows)]) for h in header}
    if columns is not None:
        widths = _fit(widths, columns)
    cells = tuple(tuple(_cut(row[h], widths[h]) for h in widths) for row in rows)
    return Table(tuple(cut(h, w) for h, w in widths.items()), cells, tuple(widths.values()))


def _fit(widths: dict[str, int], columns: int) -> dict[str, int]:
    fitted = dict(widths)
    if "SCHEDULE" in fitted:
        fitted["SCHEDULE"] = min(fitted["SCHEDULE"], SCHEDULE_MOST)
    for name in _DROPPED:
        if _least(fitted, NOTE_GOOD) <= columns:
            break
        fitted.pop(name, None)
    if _least(fitted, NOTE_LEAST) > columns and "NOTE" in fitted:
        tried = [{h: w for h, w in fitted.items() if h not in gone} for gone in _FOR_NOTE]
        fitted = next((each for each in tried if _least(each, NOTE_LEAST) <= columns), tried[-1])
    for name in _SHRUNK:
        if name in fitted and (excess := _total(fitted) - columns) > 0:
            least = NOTE_LEAST if name == "NOTE" else len(name)
            fitted[name] = max(min(least, fitted[name]), fitted[name] - excess)
    return fitted


def _least(widths: dict[str, int], note: int) -> int:
    """The columns that are needed when the note is content with so many."""
    return _total(widths) - max(0, widths.get("NOTE", 0) - note)


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _cut(cell: Cell, columns: int) -> Cell:
    return Cell(shorten(cell.text, columns), cell.style)


def _row(child: Facts, now: float) -> dict[str, Cell]:
    word = state(child)
    sign, style = _STATES.get(word, ("?", ""))
    alive = child.get("pid") is not None
    return {
        "NAME": Cell(_name(child)),
        "STATE": Cell(f"{sign} {line(word)}", style),
        "PID": _said(child.get("pid")),
        "UPTIME": Cell(coarse(_number(child.get("uptime")))) if alive and "uptime" in child else Cell(),
        "SCHEDULE": _said(child.get("schedule") or _topics(child)),
        "LAST RUN": _last(child, now),
        "NEXT": Cell(_next(child, now)),
        "RESTARTS": Cell(str(int(_number(child.get("restarts")))), "yellow" if child.get("restarts") else ""),
        "BEAT": Cell(_beat(child)) if alive else Cell(),
        "CPU": Cell(_share(child)) if alive else Cell(),
        "MEM": Cell(size(_number(child["rss"]))) if alive and child.get("rss") else Cell(),
        "NOTE": Cell(line(note(child, now)), "" if healthy(child) else style),
    }


def note(child: Facts, now: float) -> str:
    """Return what one must know beyond the columns, or ""."""
    override = child.get("override")
    if isinstance(override, Mapping):
        return _override(override, now)
    if isinstance(paused := child.get("paused_by"), Mapping):
        return _paused(child, paused, now)
    if not child.get("enabled", True):
        return str(child.get("where") or "")
    if healthy(child):
        return str(child.get("note") or gist(last_error(child)))
    return gist(str(_why(child) or ""))


def last_error(child: Facts) -> str:
    """Return what the last run of a task ended with, or ""."""
    last = child.get("last_run")
    return str(last.get("error") or "") if isinstance(last, Mapping) and last.get("state") != "ok" else ""


def _override(override: Facts, now: float) -> str:
    said = f"{'on' if override.get('enabled') else 'off'} by {override.get('who') or 'somebody'}"
    until = epoch(override.get("until"))
    said += f", {coarse(round(until - now))} left" if until else ""
    return said + (f": {override['note']}" if override.get("note") else "")


def _paused(child: Facts, paused: Facts, now: float) -> str:
    since = epoch(paused.get("since"))
    when = f" {ago(now - since)}" if since else ""
    resume = f"supervisor kafka resume {child.get('group') or child.get('name')}"
    waiting = f"; {gist(str(child['waiting']))}" if child.get("waiting") else ""
    return f"paused by {paused.get('who') or 'somebody'}{when}: {resume}{waiting}"


def _why(child: Facts) -> object:
    last = child.get("last_exit")
    reason = last.get("reason") if isinstance(last, Mapping) else None
    if child.get("state") == "running":
        return child.get("waiting") or child.get("reason")
    return child.get("last_error") or child.get("reason") or reason


def _last(child: Facts, now: float) -> Cell:
    if child.get("kind") == "consumer":
        return Cell(_reading(child))
    run = child.get("last_run")
    if not isinstance(run, Mapping):
        return Cell()
    found = str(run.get("state"))
    sign, style = _RUNS.get(found, ("✗", "red"))
    took = short(_number(run["duration"])) if found in ("ok", "failed") and run.get("duration") is not None else found
    when = epoch(run.get("finished")) or epoch(run.get("started")) or epoch(run.get("slot"))
    return Cell(line(f"{sign} {took}" + (f" {ago(now - when)}" if when else "")), style)


def _topics(child: Facts) -> str:
    found = child.get("topics")
    return ", ".join(map(str, found)) if isinstance(found, list) else ""


def _reading(child: Facts) -> str:
    lag, records = child.get("lag"), child.get("records")
    said = [f"lag {int(_number(lag))}"] if lag is not None else []
    said += [f"{int(_number(records))} records"] if records else []
    return ", ".join(said) or "-"


def _next(child: Facts, now: float) -> str:
    retry, slot = epoch(child.get("next_try")), epoch(child.get("next_slot"))
    if child.get("state") in ("backoff", "fatal"):
        return f"retry {coarse(round(retry - now))}" if retry else "-"
    if child.get("kind") == "task" and child.get("phase") == "running" and child.get("phase_age") is not None:
        return f"now, {coarse(_number(child['phase_age']))}"
    return coarse(round(slot - now)) if slot and child.get("state") == "running" else "-"


def _beat(child: Facts) -> str:
    age = child.get("heartbeat_age")
    if age is None:
        return "-"
    seconds = _number(age)
    return f"{seconds:.1f}s" if seconds < 10 else coarse(seconds)


def _share(child: Facts) -> str:
    uptime = _number(child.get("uptime"))
    return f"{100 * _number(child.get('cpu')) / uptime:.1f}%" if uptime >= 1 and child.get("cpu") is not None else "-"


def _name(child: Facts) -> str:
    return line(str(child.get("name", "?")))


def _said(value: object) -> Cell:
    return Cell(line(str(value)) if value not in (None, "") else "-")


def _number(value: object) -> float:
    """Return a finite number whatever stands there: a table must not fail on what one child says."""
    if isinstance(value, (int, float)) and abs(value) < 1e15:  # also refuses NaN and infinity
        return float(value)
    return 0.0
