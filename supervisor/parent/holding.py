"""RUNS IN THE PARENT: `supervisor kafka pause` and `resume`: a consumer rests without leaving its group.

A restarted process rests too; a restart of the supervisor ends it, as `disable` is what lasts.
"""

from __future__ import annotations

import time
from typing import Any

from supervisor.core.wire.control import Refusal
from supervisor.core.wire.messages import Order
from supervisor.parent.driver import Driver
from supervisor.parent.site import Site
from supervisor.parent.snapshot import Pause


def hold(site: Site, driver: Driver, name: str, *, on: bool, who: str) -> dict[str, Any] | Refusal:
    """Tell every member that lives; who is born later is told at birth."""
    spec = site.fleet.specs[site.members(name)[0]]
    if spec.kind != "consumer":
        return Refusal(400, f"{name!r} is no consumer: only consumers are paused", f"see: supervisor disable {name}")
    if on:
        site.held[spec.group] = Pause(who, time.time())
    else:
        site.held.pop(spec.group, None)
    deaf = [each for each in site.members(spec.group) if each in driver.processes and not _told(driver, each, on=on)]
    if deaf:
        return Refusal(
            409, f"{', '.join(deaf)} takes no orders: its pipe is full", f"see: supervisor explain {deaf[0]}"
        )
    word = "paused" if on else "resumed"
    site.happened("info", f"{word} by {who}", child=spec.group, event=word)
    return {"name": spec.group, "held": on}


def _told(driver: Driver, member: str, *, on: bool) -> bool:
    return driver.order(member, Order("hold", {"on": on}))
