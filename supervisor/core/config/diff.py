"""What a new plan changes, child by child, in words; values that are secrets are named, never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from supervisor.core.config import keys, redact
from supervisor.core.escape import escape
from supervisor.core.lifecycle.fleet import born_with
from supervisor.core.spec import ChildSpec, Plan, SupervisorSettings

Kind = Literal["add", "remove", "toggle", "update", "restart", "supervisor"]

_AT_START_ONLY = ("config_file", "project_dir", "state_dir", "preload")  # a running supervisor keeps them
_UNSHOWN = ("alert_url", "alert_command")  # a webhook's address is its password
_LONGEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`update` changes no process, `restart` replaces it after a drain, `supervisor` needs a new start of it all.

    A child whose settings and `enabled` both differ is a restart; one with `enabled` and policy is a toggle. Of its
    policy only the heartbeat's interval is known to the process itself.
    """

    kind: Kind
    name: str  # of a member: "orders:2"; of the supervisor itself: "supervisor"
    what: str

    def to_json(self) -> dict[str, str]:
        return {"change": self.kind, "name": self.name, "what": self.what}


def diff(old: Plan, new: Plan) -> tuple[Change, ...]:
    """Return what differs, line numbers aside: the supervisor first, then what goes, what changes, what comes."""
    before = {child.name: child for child in old.children}
    after = {child.name: child for child in new.children}
    gone = [Change(kind="remove", name=name, what="") for name in before if name not in after]
    come = [Change(kind="add", name=name, what=_new(child)) for name, child in after.items() if name not in before]
    changed = [change for name in after if name in before and (change := _child(before[name], after[name]))]
    return (*_supervisor(old.supervisor, new.supervisor), *gone, *changed, *come)


def _supervisor(old: SupervisorSettings, new: SupervisorSettings) -> Iterator[Change]:
    differing = _fields(old, new)
    later = [name for name in differing if name in _AT_START_ONLY]
    at_once = [name for name in differing if name not in _AT_START_ONLY]
    labels = {name: name.replace("alert_", "alerts.") for name in differing}
    if later:
        what = f"{_words(old, new, later, labels)}: in force after the next start of the supervisor"
        yield Change(kind="supervisor", name="supervisor", what=what)
    if at_once:
        yield Change(kind="update", name="supervisor", what=_words(old, new, at_once, labels))


def _child(old: ChildSpec, new: ChildSpec) -> Change | None:
    texts = []
    if old.enabled != new.enabled:
        texts.append("enabled" if new.enabled else "disabled")
    settings = _settings(old, new)
    policy = _fields(old.policy, new.policy)
    if settings:
        texts.append(settings)
    if policy:
        labels = {name: ".".join(keys.POLICY.get(name, (name,))) for name in policy}
        texts.append(_words(old.policy, new.policy, policy, labels))
    if not texts:
        return None
    return Change(kind=_kind(old, new), name=new.name, what=", ".join(texts))


def _kind(old: ChildSpec, new: ChildSpec) -> Kind:
    if born_with(old) != born_with(new):
        return "restart"
    return "toggle" if old.enabled != new.enabled else "update"


def _settings(old: ChildSpec, new: ChildSpec) -> str:
    if old.kind != new.kind:
        return f"{old.kind} → {new.kind}"
    differing = _fields(old.settings, new.settings)
    known = keys.SETTINGS.get(new.kind, {})
    labels = {name: ".".join(known.get(name, (name,))) for name in differing}
    return _words(old.settings, new.settings, differing, labels)


def _fields(old: Any, new: Any) -> list[str]:
    return [f.name for f in fields(new) if getattr(old, f.name) != getattr(new, f.name)]


def _words(old: Any, new: Any, names: list[str], labels: Mapping[str, str]) -> str:
    return ", ".join(_word(labels[name], name, getattr(old, name), getattr(new, name)) for name in names)


def _word(label: str, name: str, old: Any, new: Any) -> str:
    if name in _UNSHOWN or redact.is_secret((name,)):
        return f"{label} changed"
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        return ", ".join(_word(f"{label}.{escape(key)}", key, old.get(key), new.get(key)) for key in differing)
    if isinstance(old, tuple) and isinstance(new, tuple) and old and new:
        moved = [f"+{_shown(name, x)}" for x in new if x not in old] + [
            f"−{_shown(name, x)}" for x in old if x not in new
        ]
        return f"{label} {' '.join(moved)}" if moved else f"{label} in another order"
    return f"{label} {_shown(name, old)} → {_shown(name, new)}"


def _shown(name: str, value: Any) -> str:
    written = keys.written(name, redact.value((name,), value))
    if written is None or written in ([], {}):
        return "none"
    text = str(written).lower() if isinstance(written, bool) else str(written)
    return escape(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _word_of_one(name: str, value: Any) -> str:
    return f"{name} {' '.join(value) if isinstance(value, tuple) else _shown(name, value)}"


def _new(child: ChildSpec) -> str:
    settings = asdict(child.settings)
    told = [key for key in ("every", "at", "cron", "once", "topics") if settings.get(key) and child.kind != "broker"]
    about = ", ".join(_word_of_one(key, settings[key]) for key in told)
    return ", ".join(part for part in (f"new {child.kind}", about, "" if child.enabled else "disabled") if part)
