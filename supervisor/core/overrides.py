"""Toggles that were set at run time: which of them are in force, and the document they are kept in.

An override wins over config.toml until it expires, until `enable` is called, or until that very key is edited in
the file later: `config_enabled` is the configured value that was seen when it was set.
The document is one JSON object; what cannot be understood is a problem with a text, never an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

VERSION = 1
MAX_BYTES = 1024 * 1024
MAX_TEXT = 500
_YEAR_10000 = 253_402_300_800
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    enabled: bool
    who: str
    since: float  # epoch seconds
    until: float | None  # epoch seconds; None: no end
    note: str
    config_enabled: bool


Overrides = Mapping[str, Override]


@dataclass(frozen=True, slots=True)
class Ended:
    """An override that is in force no longer, and why."""

    name: str
    override: Override
    why: str


def enabled(configured: bool, override: Override | None) -> bool:
    return configured if override is None else override.enabled


def toggle(overrides: Overrides, name: str, override: Override) -> dict[str, Override]:
    """Return the overrides after `name` was toggled; enabling what the file enables needs no override at all."""
    kept = {key: value for key, value in overrides.items() if key != name}
    if not (override.enabled and override.config_enabled):
        kept[name] = override
    return kept


def settle(overrides: Overrides, configured: Mapping[str, bool], now: float) -> tuple[dict[str, Override], list[Ended]]:
    """Return what is still in force at `now` (epoch seconds) and what ended.

    A name that config.toml does not have at present keeps its override: a table that is away for one
    reload must not come back enabled.
    """
    kept: dict[str, Override] = {}
    ended: list[Ended] = []
    for name, override in overrides.items():
        why = _why_ended(override, configured.get(name), now)
        if why is None:
            kept[name] = override
        else:
            ended.append(Ended(name, override, why))
    return kept, ended


def _why_ended(override: Override, configured: bool | None, now: float) -> str | None:
    if override.until is not None and override.until <= now:
        return "its time is over"
    if configured is not None and configured != override.config_enabled:
        return f"enabled was set to {str(configured).lower()} in config.toml since"
    return None


def next_end(overrides: Overrides) -> float | None:
    """Return when the next one expires, epoch seconds."""
    return min((o.until for o in overrides.values() if o.until is not None), default=None)


def public(override: Override) -> dict[str, Any]:
    """As `status` shows it: times are RFC 3339."""
    until = None if override.until is None else _instant(override.until)
    shown = {"enabled": override.enabled, "who": override.who, "since": _instant(override.since)}
    return {**shown, "until": until, "note": override.note}


def to_document(overrides: Overrides) -> bytes:
    toggles = {name: asdict(override) for name, override in sorted(overrides.items())}
    return json.dumps({"version": VERSION, "toggles": toggles}, indent=1, allow_nan=False).encode() + b"\n"


def from_document(data: bytes) -> tuple[dict[str, Override], list[str]]:
    """Return the overrides that can be understood, and what could not be."""
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        return {}, [f"expected a JSON document, found something else: {error}"]
    if not isinstance(document, dict) or not isinstance(document.get("toggles"), dict):
        return {}, ['expected {"version": 1, "toggles": {…}}']
    if document.get("version") != VERSION:
        return {}, [f"expected version {VERSION}, found {json.dumps(document.get('version'))[:40]}"]
    found: dict[str, Override] = {}
    problems: list[str] = []
    for name, fields in document["toggles"].items():
        override = _override(fields) if _NAME.fullmatch(name) else None
        if override is None:
            problems.append(f"the toggle of {json.dumps(name)[:80]} cannot be understood")
        else:
            found[name] = override
    return found, problems


def _override(fields: object) -> Override | None:
    if not isinstance(fields, dict):
        return None
    known: dict[str, Any] = {key: fields.get(key) for key in Override.__dataclass_fields__}
    flags = isinstance(known["enabled"], bool) and isinstance(known["config_enabled"], bool)
    texts = all(isinstance(known[key], str) and len(known[key]) <= MAX_TEXT for key in ("who", "note"))
    times = _is_time(known["since"]) and (known["until"] is None or _is_time(known["until"]))
    return Override(**known) if flags and texts and times else None


def _is_time(value: object) -> bool:
    """A number that datetime can show: years 1970 to 9999; NaN compares false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _YEAR_10000


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
