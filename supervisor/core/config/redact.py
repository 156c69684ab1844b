"""What must not be printed: values whose key names a secret, and passwords within URLs.

Used by every face that shows a configuration or a part of it: show, diff, problems, status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from supervisor.core.spec import BrokerSettings, ChildSpec, Plan, Settings, TaskSettings

HIDDEN = "(hidden)"

_WORDS = (
    r"passw|passphrase|pwd|secret|token|credential|api[-_]?key|private[-_]?key|access[-_]?key|\.key|jaas|webhook|sasl\."
)
_SECRET = re.compile(_WORDS, re.IGNORECASE)
_PLAIN = frozenset({"sasl.mechanism", "sasl.mechanisms", "preload"})  # which method is used is no secret, and helps
# In an environment names are short, and a secret too many is better than one too few.
_SECRET_VARIABLE = re.compile(rf"{_WORDS}|key|auth|dsn|cookie|hook|salt|sign|private", re.IGNORECASE)
_SHOWN = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY"})
VARIABLES, VARIABLE = 200, 300  # most variables, most characters of one
_USERINFO = re.compile(r"(?<=//)[^/\s\"'@]{1,1000}@")
_ASSIGNED = re.compile(rf"((?:{_WORDS})[\w.-]{{0,40}}\s{{0,3}}[=:]\s{{0,3}})[^\s&;\"',]{{1,10000}}", re.IGNORECASE)

_QUOTED = re.compile(rf"(?:{_WORDS})[\w.-]{{0,40}}[\"']", re.IGNORECASE)  # JSON within a value: a key that names one


def is_secret(path: Sequence[object]) -> bool:
    """Tell whether a value at this key path is one."""
    return any(isinstance(key, str) and key not in _PLAIN and _SECRET.search(key) is not None for key in path)


def mentions_secret(line: str) -> bool:
    return _SECRET.search(line) is not None


def text(value: str) -> str:
    """Return a text without the user and password of URLs, and without `password=…`.

    >>> text("postgresql://app:hunter2@db/app?sslpassword=hunter2")
    'postgresql://(hidden)@db/app?sslpassword=(hidden)'
    """
    return _ASSIGNED.sub(rf"\1{HIDDEN}", _USERINFO.sub(f"{HIDDEN}@", value))


def value(path: Sequence[object], found: Any) -> Any:
    """Return `found` as it may be shown, at whatever depth secrets are in it."""
    if is_secret(path):
        return HIDDEN
    match found:
        case str():
            return text(found)
        case Mapping():
            return {key: value((key,), inner) for key, inner in found.items()}
        case list() | tuple():
            return type(found)(value((), inner) for inner in found)
    return found


def url(address: str) -> str:
    """Return scheme and host only: the path of a webhook is its password."""
    scheme, _, rest = text(address).partition("://")
    host, slash, _ = rest.rpartition("@")[2].partition("/")
    return f"{scheme}://{host}/{HIDDEN}" if slash else f"{scheme}://{host}"


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as it may be kept: what could be a secret hidden, long values cut."""
    return {name[:VARIABLE]: _variable(name, env[name]) for name in sorted(env)[:VARIABLES]}


def _variable(name: str, found: str) -> str:
    if name not in _SHOWN and (_SECRET_VARIABLE.search(name) or _QUOTED.search(found)):
        return HIDDEN
    return text(found)[:VARIABLE]


def command(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command; hidden is what follows an option that names a secret."""
    kept: list[str] = []
    for before, word in zip(("", *words), words, strict=False):
        follows = before.startswith("-") and "=" not in before and mentions_secret(before)
        kept.append(HIDDEN if follows else text(word))
    return tuple(kept)


def plan(found: Plan) -> Plan:
    """Return the plan as it may be shown."""
    supervisor = replace(
        found.supervisor,
        alert_url=found.supervisor.alert_url and url(found.supervisor.alert_url),
        alert_command=command(found.supervisor.alert_command),
    )
    return replace(found, supervisor=supervisor, children=tuple(map(_child, found.children)))


def _child(child: ChildSpec) -> ChildSpec:
    return replace(child, settings=_settings(child.settings))


def _settings(settings: Settings) -> Settings:
    if isinstance(settings, TaskSettings):
        return replace(settings, args=value((), settings.args), ping=settings.ping and url(settings.ping))
    if isinstance(settings, BrokerSettings):
        return settings
    return replace(
        settings,
        properties=value((), settings.properties),
        registry_url=settings.registry_url and text(settings.registry_url),
        registry_password=settings.registry_password and HIDDEN,
    )
