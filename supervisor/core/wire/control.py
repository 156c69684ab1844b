"""What a client may ask of the supervisor: fixed tables from method, path and JSON body to one command.

A name that arrives is looked up in these tables and nowhere else (CVE-2017-11610 walked attributes of objects).
Whatever bytes arrive, the answer is a Command, or a Refusal that says what was expected and what was found.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from supervisor.core import names
from supervisor.core.wire.commands import (
    CHAOS,
    RUN_KINDS,
    Chaos,
    ChildDetail,
    Command,
    Disable,
    Enable,
    Hold,
    Reload,
    Restart,
    Run,
    Stack,
    Status,
    Stop,
    changes,
    describe,
    waits,
)
from supervisor.core.words import LATEST

__all__ = [
    "Chaos",
    "ChildDetail",
    "Command",
    "Disable",
    "Enable",
    "Hold",
    "Refusal",
    "Reload",
    "Restart",
    "Run",
    "Stack",
    "Status",
    "Stop",
    "changes",
    "describe",
    "no_such_child",
    "parse",
    "waits",
]
MAX_NOTE = 500  # characters: a note is read in one line of a table
MAX_SECONDS = 10 * 366 * 86400.0
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}(:[0-9]{1,4})?")  # DESIGN §9, and the number of a member


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status and what the client is told."""

    status: int
    text: str
    suggestion: str | None = None  # a whole sentence

    def body(self) -> dict[str, Any]:
        return {"error": self.text, "suggestion": self.suggestion}


@dataclass(frozen=True, slots=True)
class _Key:
    argument: str
    expected: str
    valid: Callable[[Any], bool]
    default: Any


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to ask: the method, the command it makes, the keys its body may have."""

    method: str
    make: Callable[..., Command]
    keys: Mapping[str, _Key] = field(default_factory=dict)


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


def parse(method: str, target: str, body: bytes) -> Command | Refusal:
    """Return what is asked for. `target` is the request's path, `body` its bytes (empty means {})."""
    try:
        form, name = _route(method, target)
        return form.make(**name, **_arguments(form, body))
    except _Refused as refused:
        return refused.refusal


def no_such_child(name: str, known: Iterable[str]) -> Refusal:
    return Refusal(404, names.missing("child", name), names.hint("child", name, known) or None)


def _flag(argument: str) -> _Key:
    return _Key(argument, "true or false", lambda value: isinstance(value, bool), False)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and math.isfinite(value)


_NOW = {"now": _flag("now")}
_NOTE = {
    "note": _Key(
        "note",
        f"a text of at most {MAX_NOTE} characters",
        lambda value: isinstance(value, str) and len(value) <= MAX_NOTE,
        "",
    )
}
_FOR = {
    "for": _Key(
        "seconds",
        "seconds above 0, at most ten years, or null",
        lambda value: value is None or (_is_number(value) and 0 < value <= MAX_SECONDS),
        None,
    )
}
_SLOT = {
    "slot": _Key(
        "slot",
        "seconds since 1970 that are a date, or null",
        lambda value: value is None or (_is_number(value) and 0 <= value < LATEST),
        None,
    )
}
_KIND = {"kind": _Key("kind", "manual or backfill", lambda value: value in RUN_KINDS, "manual")}
_HOW = {"how": _Key("how", f"one of {', '.join(CHAOS)}", lambda value: isinstance(value, str) and value in CHAOS, None)}

_PATHS: dict[str, _Form] = {
    "/v1/status": _Form("GET", Status),
    "/v1/reload": _Form("POST", Reload, {"dry_run": _flag("dry_run")}),
    "/v1/stop": _Form("POST", Stop, _NOW),
}
_DETAIL = _Form("GET", ChildDetail)
_VERBS: dict[str, _Form] = {
    "restart": _Form("POST", Restart, _NOW),
    "enable": _Form("POST", Enable, {**_NOTE, **_NOW}),
    "disable": _Form("POST", Disable, {**_FOR, **_NOTE, **_NOW}),
    "run": _Form("POST", Run, {**_SLOT, **_KIND, "wait": _flag("wait")}),
    "stack": _Form("GET", Stack),
    "chaos": _Form("POST", Chaos, _HOW),
    "pause": _Form("POST", partial(Hold, on=True)),
    "resume": _Form("POST", partial(Hold, on=False)),
}


def _route(method: str, target: str) -> tuple[_Form, dict[str, str]]:
    if "?" in target:
        _refuse(400, "a path without a query was expected: arguments are keys of the JSON body")
    parts = target.split("/", 5)
    if parts[:3] == ["", "v1", "children"] and 4 <= len(parts) <= 5:
        name = _name(parts[3])
        form = _DETAIL if len(parts) == 4 else _VERBS.get(parts[4])
        if form is None:
            _refuse(404, f"no verb is named {_shown(parts[4])}", _near(parts[4], _VERBS) or _one_of("verbs", _VERBS))
        return _checked(form, method), {"name": name}
    form = _PATHS.get(target)
    if form is None:
        known = [*_PATHS, "/v1/children/NAME", *(f"/v1/children/NAME/{verb}" for verb in _VERBS)]
        _refuse(404, f"no path is {_shown(target)}", _near(target, known) or _one_of("paths", known))
    return _checked(form, method), {}


def _name(text: str) -> str:
    name = text.replace("%3A", ":").replace("%3a", ":")  # the one reserved character a name may have
    if not _NAME.fullmatch(name):
        _refuse(404, f"no child can be named {_shown(name)}", "names are a-z, then a-z 0-9 _ -, at most 63 characters")
    return name


def _checked(form: _Form, method: str) -> _Form:
    if method != form.method:
        _refuse(405, f"expected {form.method}, got {_shown(method)}")
    return form


def _arguments(form: _Form, body: bytes) -> dict[str, Any]:
    given = _object(body)
    for key in given:
        if key not in form.keys:
            none_taken = "this request takes no keys"
            hint = _near(key, form.keys) or (_one_of("keys", form.keys) if form.keys else none_taken)
            _refuse(400, f"unknown key {_shown(key)}", hint)
    values: dict[str, Any] = {}
    for key, rule in form.keys.items():
        value = given.get(key, rule.default)
        if not rule.valid(value):
            _refuse(400, f"key {_shown(key)}: expected {rule.expected}, got {_shown(value)}")
        values[rule.argument] = value
    return values


def _object(body: bytes) -> dict[str, Any]:
    """No NaN, no key twice: two readers of such a text may understand two things."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body.decode(), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _refuse(400, f"the body is not JSON: {_cut(str(error))}")
    if not isinstance(value, dict):
        _refuse(400, f"the body: expected a JSON object, got {_shown(value)}")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _refuse(status: int, text: str, suggestion: str | None = None) -> NoReturn:
    raise _Refused(Refusal(status, text, suggestion))


def _near(text: str, known: Iterable[str]) -> str | None:
    return names.near(text, known) or None


def _one_of(what: str, known: Iterable[str]) -> str:
    return _cut(f"{what}: {', '.join(known)}", 300)


def _shown(value: object) -> str:
    """As JSON: pure ASCII, so it can be printed."""
    return _cut(json.dumps(value))


def _cut(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
