"""RUNS ANYWHERE: one event, one line. As JSON in the files, as aligned text on a terminal, from the same fields.

Fields: time (RFC 3339, UTC, ms), level, child, pid, text, and when there is more to say event, from, to,
reason, traceback. Whatever stands in them came from elsewhere: the console form escapes it (core/escape).
"""

from __future__ import annotations

import json
import math
import os
import time as clock
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from supervisor.core.escape import escape, line

MAX_LINE = 8192  # bytes of a JSON line: a reader needs a bound, and a full traceback fits
NAME_WIDTH = 14
CUT = " …(cut)"
Record = Mapping[str, Any]

_GLYPHS = {
    **dict.fromkeys(("start", "started", "starting", "spawned"), "▶"),
    **dict.fromkeys(("ready", "running", "reloaded", "resumed", "enabled", "rolled"), "●"),
    **dict.fromkeys(("ok", "run_ok"), "✓"),
    **dict.fromkeys(("exit", "died", "crash", "failed", "fatal", "hung", "stuck", "oom", "killed", "lost"), "✗"),
    **dict.fromkeys(("run_failed", "timed_out", "start_timeout", "error", "dead_letter", "crash_loop"), "✗"),
    **dict.fromkeys(("disabled", "skipped", "missed", "run_skipped", "run_missed", "paused"), "○"),
    **dict.fromkeys(("stop", "stopping", "stopped", "interrupted", "draining"), "■"),
    **dict.fromkeys(("backoff", "waiting", "retry", "rolling"), "◐"),
}
_COLOURS = {"▶": 36, "●": 32, "✓": 32, "✗": 31, "○": 90, "■": 34, "◐": 33}
_LEVELS = {"warning": 33, "error": 31, "critical": 31, "debug": 90}
_FIRST = ("time", "level", "child", "pid", "event", "from", "to", "reason", "text")


def record(
    text: str, *, level: str = "info", child: str = "supervisor", now: float | None = None, **fields: Any
) -> dict[str, Any]:
    """Build a record. `now` is wall time (epoch seconds); `fields` that are None are left out."""
    given = {key.rstrip("_"): value for key, value in fields.items() if value is not None}  # from_: a keyword
    made = {"time": stamp(clock.time() if now is None else now), "level": level, "child": child, **given, "text": text}
    return {key: made.pop(key) for key in _FIRST if key in made} | made


def stamp(epoch: float) -> str:
    """Return wall time as people and programs exchange it: 2026-11-25T14:02:41.440Z."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(record: Record) -> str:
    """Return one line of pure ASCII without the newline, at most 8 KiB: the long texts are cut."""
    made = _dumps(record)
    for key in ("traceback", "text", "reason"):
        if len(made) > MAX_LINE and isinstance(record.get(key), str):
            record = {**record, key: _shorten(str(record[key]), len(made) - MAX_LINE)}
            made = _dumps(record)
    if len(made) > MAX_LINE:
        made = _dumps({k: record[k] for k in _FIRST if k in record and len(_dumps(record[k])) < 512} | {"cut": True})
    return made


def console(record: Record, *, colour: bool, width: int = NAME_WIDTH) -> str:
    """Return the line a person reads, without the newline: 14:02:41.44 notifications  ✓ run 0.21s

    A traceback follows on lines of its own, each behind a bar: they cannot be taken for events.
    """
    child = line(str(record.get("child") or "supervisor"))
    head = f"{local(record.get('time'))} {child:<{width}}"
    lines = [f"{head} {said(record, colour=colour)}"]
    if record.get("traceback"):
        bar = _paint("│", 90, colour=colour)
        lines += [f"{'':11} {child:<{width}} {bar} {escape(text)}" for text in str(record["traceback"]).splitlines()]
    return "\n".join(lines)


def parse(text: str, *, child: str) -> dict[str, Any]:
    """Return the record of one line of a child's log file. What it printed itself is no JSON: it becomes the text.

    A child can only speak for itself; the supervisor's own file tells of all of them.
    """
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and isinstance(found.get("text"), str) and isinstance(found.get("time"), str):
            return found if child == "supervisor" and isinstance(found.get("child"), str) else {**found, "child": child}
    return {"child": child, "text": text}


def local(time: object) -> str:
    """Return HH:MM:SS.mm in the zone of the reader; blanks when there is no such time."""
    try:
        at = datetime.fromisoformat(str(time)).astimezone()
    except (ValueError, OverflowError):
        return " " * 11
    return f"{at:%H:%M:%S}.{at.microsecond // 10_000:02}"


def glyph(record: Record) -> str:
    """Return the sign of what happened, by event or by the state that was entered; "" when there is none."""
    for key in ("event", "to"):
        word = record.get(key)
        if isinstance(word, str) and word in _GLYPHS:
            return _GLYPHS[word]
    return ""


def said(record: Record, *, colour: bool) -> str:
    """Return the sign and the text alone, on one line."""
    text = escape(str(record.get("text", "")))
    level = str(record.get("level", "info"))
    if sign := glyph(record):
        return f"{_paint(sign, _COLOURS[sign], colour=colour)} {text}"
    if level in _LEVELS:
        return f"{_paint(level.upper(), _LEVELS[level], colour=colour)} {text}"
    return text


def _paint(text: str, code: int, *, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def _dumps(value: object) -> str:
    try:
        made = json.dumps(value, default=str, allow_nan=False, separators=(", ", ": "))
    except (ValueError, TypeError):  # NaN, a key that is no text, a circle
        made = json.dumps(_plain(value), separators=(", ", ": "))
    return made.replace("\x7f", "\\u007f")  # ASCII too, but a control


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain_leaf(each) for key, each in value.items()}
    return _plain_leaf(value)


def _plain_leaf(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else repr(value)[:512]


def _shorten(text: str, excess: int) -> str:
    """Drop at least `excess` bytes of the JSON form from the middle: the end of a traceback is what matters."""
    keep = MAX_LINE // 4
    while len(_dumps(text)) - len(_dumps(text[:keep] + CUT + text[-keep:])) < excess and keep > 16:
        keep //= 2
    return text[:keep] + CUT + text[-keep:] if len(text) > 2 * keep else text


def typed(path: str) -> str:
    """Return the path as a person would type it here."""
    try:
        relative = os.path.relpath(path)
    except FileNotFoundError:  # the working folder was removed
        return path
    return path if relative.startswith("..") else relative
