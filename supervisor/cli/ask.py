"""RUNS IN THE USER'S TERMINAL: ask the supervisor of a place, and say in words when it does not answer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from supervisor import client
from supervisor.cli import options
from supervisor.cli.place import Place
from supervisor.core import names
from supervisor.core.errors import NoSuchChild, NotRunning, SupervisorError, WrongUsage
from supervisor.core.status import children

PATIENCE = 10.0  # seconds for an answer that needs no work; a healthy supervisor needs milliseconds

_ERRORS: dict[int, type[SupervisorError]] = {400: WrongUsage, 404: NoSuchChild}

Reply = Mapping[str, Any]


def status(place: Place) -> Reply:
    return get(place, "/v1/status")


def child(place: Place, name: str, what: str = "") -> Reply:
    return _of_child(place, "GET", name, what, None, PATIENCE)


def order(place: Place, name: str, verb: str, body: Mapping[str, Any], *, timeout: float | None = PATIENCE) -> Reply:
    return _of_child(place, "POST", name, f"/{verb}", body, timeout)


def missing(place: Place, name: str, found: Reply) -> str:
    """Return what to say when the status `found` has no child or group of that name, else ""."""
    groups = {str(each.get("group")) for each in children(found)}
    known = groups | {str(each.get("name")) for each in children(found)}
    group = name.partition(":")[0]
    if name in known:
        return ""
    if group not in groups and any(group in each for each in options.configured(place).values()):
        return f"{place.short(place.config)} has {group!r}, but it is not applied yet (supervisor reload{place.option})"
    return names.unknown("child", name, known if ":" in name else groups)


def get(place: Place, path: str) -> Reply:
    return _request(place, "GET", path, None, PATIENCE)


def post(place: Place, path: str, body: Mapping[str, Any], *, timeout: float | None = PATIENCE) -> Reply:
    return _request(place, "POST", path, body, timeout)


def dumps(value: object, *, indent: int | None = 2) -> str:
    """Return JSON for programs: pure ASCII, so that no text in it can do anything to a terminal."""
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")


def _of_child(
    place: Place, method: str, name: str, what: str, body: Mapping[str, Any] | None, timeout: float | None
) -> Reply:
    from urllib.parse import quote  # `status` asks for all and does without it

    try:
        return _request(place, method, f"/v1/children/{quote(name, safe=':')}{what}", body, timeout)
    except NoSuchChild as error:
        try:
            said = missing(place, name, status(place))
        except SupervisorError:  # it has stopped meanwhile
            said = ""
        raise NoSuchChild(said or str(error)) from error


def _request(place: Place, method: str, path: str, body: Mapping[str, Any] | None, timeout: float | None) -> Reply:
    try:
        code, reply = client.request(place.sockets, method, path, body, timeout=timeout)
    except NotRunning as error:
        raise NotRunning(_not_running(place)) from error
    if code < 400:
        return reply
    said = str(reply.get("error") or f"the supervisor answered {code}")
    said += f"; {reply['suggestion']}" if reply.get("suggestion") else ""
    raise _ERRORS.get(code, SupervisorError)(said)


def _not_running(place: Place) -> str:
    tried = place.short(place.paths.socket)
    start = f"supervisor start{place.option}"
    if not os.path.exists(place.config):
        return (
            f"the supervisor is not running (no {tried}), and there is no {place.short(place.config)}: supervisor init"
        )
    return f"the supervisor is not running (nothing answers at {tried}); start it: {start}"
