"""Types of single values in config.toml. Each says by itself what it expects.

A value that does not fit raises the error `expected`, whose context holds the words for the message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from supervisor.core import durations
from supervisor.core.config.keys import FACTORS, size_text
from supervisor.core.config.problems import did_you_mean
from supervisor.core.kafka import pace
from supervisor.core.schedule.cron import ALIASES

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
RESERVED = ("broker", "supervisor", "web")  # children and logs of our own have these names
TARGET = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CRON_ALIASES = tuple(ALIASES)
CRON = 'a cron expression like "*/15 6-22 * * MON-FRI", or @hourly, @daily, @weekly, @monthly, @yearly'
_TARGET_LIKE = 'a target like "package.module:function"'
_ENVIRONMENT = r"|.*\$\{.*"
_DURATION = r"^(([0-9]+(\.[0-9]+)?(d|h|m|s|ms))+" + _ENVIRONMENT + ")$"
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|KB|MB|GB)", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", re.ASCII)
_ONCE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_SERVER = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})", re.ASCII)
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def refuse(expected: str, *, hint: str = "", found: str = "") -> PydanticCustomError:
    """Return the error; `found` is only for what the value itself does not show."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected, "hint": hint, "found": found})


def _duration(least: float = 0.0, *, none: bool = False) -> BeforeValidator:
    lower = f" of at least {durations.text(least)}" if least else ""
    or_none = ', or "none"' if none else ""

    def read(value: object) -> float | None:
        if none and value == "none":
            return None
        if not isinstance(value, str):
            raise refuse(durations.EXPECTED + or_none)
        try:
            seconds = durations.parse(value)
        except durations.DurationError as error:
            raise refuse(error.expected + or_none) from None
        if seconds < least:
            raise refuse(durations.EXPECTED.replace("duration", f"duration{lower}") + or_none)
        return seconds

    return BeforeValidator(read)


def _text(pattern: re.Pattern[str], expected: str) -> BeforeValidator:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise refuse(expected)
        return value

    return BeforeValidator(read)


def _size(value: object) -> int | None:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (size := int(match[1]) * FACTORS[match[2]]) or size > 2**60:
        raise refuse('a size like "512MiB" or "2GiB"')
    return size


def _size_or_none(value: object) -> int | None:
    return None if value == "none" else _size(value)


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise refuse("a name of a-z, 0-9, _ and -, which begins with a letter and has at most 63 characters")
    if value in RESERVED:
        raise refuse(f"a name other than {value}", hint="the supervisor has a child or a log of that name itself")
    return value


def _resource_name(value: object) -> str:
    if not isinstance(value, str) or not value.isidentifier() or value in ("record", "records", "ctx"):
        raise refuse("a parameter name other than record, records and ctx")
    return value


def _zone(value: object) -> str:
    expected = 'a time zone like "UTC" or "Europe/Warsaw"'
    if not isinstance(value, str):
        raise refuse(expected)
    try:
        return ZoneInfo(value).key
    except (ValueError, KeyError, OSError):  # also for "", "../x", a folder, and what is too long
        raise refuse(expected, hint=did_you_mean(value, available_timezones())) from None


def _cron(value: object) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise refuse(CRON)
    if value.startswith("@"):
        if value not in CRON_ALIASES:
            raise refuse(CRON, hint=did_you_mean(value, CRON_ALIASES))
        return value
    try:
        CronSim(value, datetime(2000, 1, 1))  # noqa: DTZ001 - only whether it takes it
    except (CronSimError, ValueError) as error:
        raise refuse(CRON, hint=f"{error}") from None
    return value


def _clock(value: object) -> list[str]:
    given = value if isinstance(value, list) else [value]
    times = [t for t in given if isinstance(t, str) and _CLOCK.fullmatch(t)]
    if not times or len(times) < len(given) or len(set(times)) < len(times):
        raise refuse('a time of day like "03:30" or "03:30:15", or a list of different ones')
    return times


def _once(value: object) -> str:
    expected = 'a date and time with its offset like "2027-01-31T09:00:00+01:00"'
    written = value.isoformat() if isinstance(value, datetime) else value
    if not isinstance(written, str) or not _ONCE.fullmatch(written):
        raise refuse(expected)
    try:
        datetime.fromisoformat(written).astimezone(UTC)  # which no year below 1 or above 9999 has
    except (ValueError, OverflowError):
        raise refuse(expected) from None
    return written


def _servers(value: object) -> str:
    if value == "embedded":
        return "embedded"
    matches = [_SERVER.fullmatch(part.strip()) for part in value.split(",")] if isinstance(value, str) else [None]
    if not all(match and 0 < int(match[2]) < 65536 for match in matches):
        raise refuse('"embedded", or servers like "host:9092,other:9092"')
    return ",".join(match[0] for match in matches if match)


def _rate(value: object) -> str:
    try:
        pace.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise refuse(pace.EXPECTED) from None
    return str(value)


def _delays(value: object) -> list[float]:
    """Each longer than the one before: a record goes from one to the next."""
    expected = 'a list of growing durations like ["1m", "10m"]'
    try:
        seconds = [durations.parse(each) for each in value] if isinstance(value, list) else [0.0]
    except (durations.DurationError, TypeError):
        raise refuse(expected) from None
    if any(each < 0.001 for each in seconds) or seconds != sorted(set(seconds)) or len(seconds) > 10:
        raise refuse(expected, hint="at most ten" if len(seconds) > 10 else "")
    return seconds


def _some(value: object) -> object:
    if isinstance(value, list) and (not value or any(value.count(item) > 1 for item in value)):
        raise refuse("a list of one or more different texts")
    return value


def _scalar(value: object) -> str | int | float | bool:
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise refuse("a text, a number, true or false")
    return value


def _plain(value: object) -> object:
    """Refuse what JSON does not have: it goes to the child as JSON."""
    stack = [value]
    while stack:
        found = stack.pop()
        if isinstance(found, date | time):
            raise refuse("no date or time", hint='write it as a text: "2027-01-31"')
        if isinstance(found, float) and not math.isfinite(found):
            raise refuse("finite numbers", found=str(found))
        if isinstance(found, dict | list):
            stack.extend(found.values() if isinstance(found, dict) else found)
    return value


def _schema(kind: str, pattern: str = "", *, examples: Sequence[str] = ()) -> WithJsonSchema:
    given = {"type": kind, "pattern": pattern, "examples": list(examples)}
    return WithJsonSchema({key: value for key, value in given.items() if value})


def _anchored(pattern: re.Pattern[str]) -> str:
    return f"^({pattern.pattern}{_ENVIRONMENT})$"


_DURATION_SCHEMA = _schema("string", _DURATION, examples=("500ms", "30s", "5m", "1h30m"))
_ANY_DURATION = WithJsonSchema({"type": "string", "pattern": _DURATION.replace("^(", "^(none|", 1)})

Duration = Annotated[float, _duration(), _DURATION_SCHEMA]
Wait = Annotated[float, _duration(0.001), _DURATION_SCHEMA]
Interval = Annotated[float, _duration(0.1), _DURATION_SCHEMA]
DurationOrNone = Annotated[float | None, _duration(0.001, none=True), _ANY_DURATION]
Size = Annotated[int, BeforeValidator(_size), _schema("string", _anchored(_SIZE))]
SizeOrNone = Annotated[int | None, BeforeValidator(_size_or_none), _schema("string", rf"^(none|{_SIZE.pattern})$")]
Name = Annotated[str, BeforeValidator(_name), _schema("string", rf"^{NAME.pattern}$")]
ResourceName = Annotated[str, BeforeValidator(_resource_name), _schema("string", r"^[A-Za-z_]\w*$")]
Target = Annotated[str, _text(TARGET, _TARGET_LIKE), _schema("string", _anchored(TARGET))]
Zone = Annotated[str, BeforeValidator(_zone), _schema("string", examples=("UTC", "Europe/Warsaw"))]
Cron = Annotated[str, BeforeValidator(_cron), _schema("string", examples=("*/15 6-22 * * MON-FRI", "@daily"))]
Clock = Annotated[
    list[str],
    BeforeValidator(_clock),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Once = Annotated[str, BeforeValidator(_once), _schema("string", examples=("2027-01-31T09:00:00+01:00",))]
Topic = Annotated[
    str, _text(_TOPIC, "a topic name of letters, digits, '.', '_' and '-'"), _schema("string", _anchored(_TOPIC))
]
Rate = Annotated[str, BeforeValidator(_rate), _schema("string", examples=("100/s", "600/m"))]
Delays = Annotated[
    list[float],
    BeforeValidator(_delays),
    WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": _DURATION}}),
]
Topics = Annotated[list[Topic], BeforeValidator(_some), Field(json_schema_extra={"minItems": 1})]
Servers = Annotated[str, BeforeValidator(_servers), _schema("string", examples=("embedded", "host:9092"))]
Url = Annotated[str, _text(_URL, "an http:// or https:// address"), _schema("string", _anchored(_URL))]
Line = Annotated[
    str,
    _text(re.compile(r"[^\x00-\x1f\x7f]{1,4096}"), "a text without control characters, not empty"),
    _schema("string"),
]
Module = Annotated[
    str,
    _text(re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII), 'a module like "sqlalchemy"'),
    _schema("string"),
]
Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Plain = Annotated[Any, BeforeValidator(_plain)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Some = Annotated[int, Field(ge=1, le=1_000_000)]
Lanes = Annotated[int, Field(ge=1, le=1000)]


def key(default: Any, meaning: str, write: Callable[[Any], str] | None = None) -> Any:
    """Return a field; `write` gives the default as config.toml would have it."""
    if default is None:
        shown: dict[str, Any] = {"default": "none"} if write else {}
    else:
        shown = {"default": write(default)} if write else {}
    return Field(default, description=meaning, json_schema_extra=shown or None)


def duration(default: float | None, meaning: str) -> Any:
    return key(default, meaning, durations.text)


def size(default: int | None, meaning: str) -> Any:
    return key(default, meaning, size_text)


def required(meaning: str) -> Any:
    return Field(description=meaning)
