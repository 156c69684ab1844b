"""Types of the keys that bound and move a schedule: `start`, `end`, `offset`."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from supervisor.core import durations
from supervisor.core.config.fields import refuse
from supervisor.core.schedule import wall

AUTO: Literal["auto"] = "auto"
_EXPECTED = 'a date or time like "2027-01-31" or "2027-01-31T09:00:00+01:00"'


def spread(name: str, period: float) -> float:
    """Return the same share of `period` for a name on every host: whole seconds of a minute or more.

    >>> spread("notifications", 3600.0) == spread("notifications", 3600.0) < 3600.0
    True
    """
    step = 1.0 if period >= 60 else 0.001
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return round(int(share * period / step) * step, 3)


def offset_text(value: float | str) -> str:
    return value if isinstance(value, str) else durations.text(value)


def _moment(value: object) -> str:
    written = value.isoformat() if isinstance(value, date | datetime) else value
    if not isinstance(written, str) or len(written) > 40:
        raise refuse(_EXPECTED)
    try:
        wall.bound("", written, wall.zone("UTC"))
    except ValueError:
        raise refuse(_EXPECTED, hint=_impossible(written)) from None
    return written


def _impossible(written: str) -> str:
    """Say which day or time of a well-formed text there is not."""
    try:
        datetime.fromisoformat(written)
    except ValueError as error:
        text = str(error)
        return "" if "Invalid isoformat" in text else text
    return ""


def _offset(value: object) -> float | str:
    expected = f'{durations.EXPECTED}, or "auto"'
    if not isinstance(value, str):
        raise refuse(expected)
    try:
        return value if value == AUTO else durations.parse(value)
    except durations.DurationError:
        raise refuse(expected) from None


Moment = Annotated[
    str,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2027-01-31", "2027-01-31T09:00:00+01:00"]}),
]
Offset = Annotated[Any, BeforeValidator(_offset), WithJsonSchema({"type": "string", "examples": ["10s", "auto"]})]
