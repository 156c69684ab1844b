"""When the supervisor was up and which toggles were set: why a slot was missed that no runner could record.

One JSON line per event. `alive` stands for all the minutes since `up`; after a kill the supervisor counts as
down from the last of them. Lines that cannot be understood are passed over.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

What = Literal["up", "alive", "down", "enabled", "disabled"]
Period = tuple[float, float]  # epoch seconds, from and until; an open end is infinity
MAX_BYTES = 1024 * 1024
_WHATS: dict[str, What] = {what: what for what in get_args(What)}


@dataclass(frozen=True, slots=True)
class Event:
    time: float  # epoch seconds
    what: What
    name: str = ""  # of the child, for enabled and disabled


def to_line(event: Event) -> str:
    fields: dict[str, object] = {"time": round(event.time, 3), "what": event.what}
    return json.dumps({**fields, "name": event.name} if event.name else fields, separators=(",", ":"))


def from_line(line: str) -> Event | None:
    try:
        fields = json.loads(line)
        time, what, name = fields["time"], fields["what"], fields.get("name", "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    number = isinstance(time, int | float) and not isinstance(time, bool) and abs(time) < 1e15 and math.isfinite(time)
    if not number or not isinstance(name, str) or not isinstance(what, str) or what not in _WHATS:
        return None
    return Event(float(time), _WHATS[what], name)


def events(lines: Iterable[str]) -> list[Event]:
    return [event for event in map(from_line, lines) if event is not None]


def down_periods(lines: Iterable[str]) -> list[Period]:
    """Return when no supervisor ran. Before the first line nothing is known and nothing is claimed."""
    found: list[Period] = []
    last: float | None = None  # the latest moment of which it is known that it ran
    gone = False
    for event in events(lines):
        if event.what == "up":
            _add(found, last, event.time)
            last, gone = event.time, False
        elif not gone:
            last, gone = event.time, event.what == "down"
    if gone:
        _add(found, last, math.inf)
    return found


def disabled_periods(lines: Iterable[str], name: str) -> list[Period]:
    """Return when `name` (as in config.toml) was disabled, the times included in which the supervisor was down."""
    found: list[Period] = []
    since: float | None = None
    for event in events(lines):
        if event.name != name:
            continue
        if event.what == "disabled" and since is None:
            since = event.time
        elif event.what == "enabled":
            _add(found, since, event.time)
            since = None
    _add(found, since, math.inf)
    return found


def toggles(lines: Iterable[str]) -> dict[str, bool]:
    """Return what was last written of each child: enabled or not."""
    return {event.name: event.what == "enabled" for event in events(lines) if event.what in ("enabled", "disabled")}


def compact(lines: Iterable[str], limit: int) -> list[str]:
    """Return lines that say the same; beyond `limit` bytes the oldest periods go.

    Of a toggle the last event before the cut stays: who is disabled now must not be forgotten.
    """
    kept = _merge_alive(events(lines))
    written = [to_line(event) for event in kept]
    cut = _cut(written, limit)
    last = {event.name: to_line(event) for event in kept[:cut] if event.name}
    while cut and cut < len(kept) and kept[cut].what == "up":
        cut += 1  # behind a toggle of long ago it would read as: down all the time in between
    return [*last.values(), *written[cut:]]


def _merge_alive(found: list[Event]) -> list[Event]:
    """Of several `alive` between two other events only the last tells something."""
    pairs = itertools.zip_longest(found, found[1:])
    return [event for event, after in pairs if not _superseded(event, after)]


def _superseded(event: Event, after: Event | None) -> bool:
    return event.what == "alive" and after is not None and after.what in ("alive", "down", "enabled", "disabled")


def _cut(written: list[str], limit: int) -> int:
    size, cut = 0, len(written)
    while cut and size + len(written[cut - 1]) + 1 <= limit:
        cut -= 1
        size += len(written[cut]) + 1
    return cut


def _add(found: list[Period], start: float | None, end: float) -> None:
    """A clock that was set back makes no period."""
    if start is not None and start < end:
        found.append((start, end))
