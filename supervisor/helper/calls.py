"""RUNS IN A HELPER: the functions that the parent asks for. Each imports what it needs only here, after the fork."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from supervisor.core.spec import Plan, override, plan_from_json


def read_config(file: str, old: Plan) -> dict[str, Any]:
    """Read and check config.toml as it stands now; tell also what it would change."""
    from supervisor.core.config.diff import diff
    from supervisor.helper.read_config import read

    found = read(file, dict(os.environ), old=old)
    if found["ok"]:
        found["plan"] = override(found["plan"], old.supervisor.overridden)
        changes = diff(old, plan_from_json(found["plan"]))
        found["changes"] = [{"change": change.kind, "name": change.name, "what": change.what} for change in changes]
    return found


def evict(bootstrap: str, properties: Mapping[str, Any], group_id: str, member_id: str, within: float) -> str:
    from supervisor.helper.evict import evict as remove

    return remove(bootstrap, properties, group_id, member_id, within)


def alert(target: str | tuple[str, ...], body: Mapping[str, Any], folder: str) -> str | None:
    """Send one; return None, or why it was not taken. A text is a URL, otherwise the words of a command."""
    from supervisor.helper import alert as sending

    return sending.post(target, body) if isinstance(target, str) else sending.run(target, body, folder)


def hook(target: str, record: Mapping[str, Any], folder: str) -> str | None:
    """Call a function of the user's; return None, or why it failed."""
    from supervisor.helper.targets import call

    return call(target, record, folder)


def write_state(path: str, data: str) -> None:
    from supervisor.helper.write_state import write

    write(path, data.encode())
