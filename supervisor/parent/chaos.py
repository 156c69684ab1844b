"""RUNS IN THE PARENT: `supervisor chaos`: harm to one child, by signal or by an order, and what is to be seen then."""

from __future__ import annotations

import signal
from typing import Any

from supervisor.core.spec import Policy
from supervisor.core.wire.control import Refusal
from supervisor.core.wire.messages import Order
from supervisor.parent.driver import Driver
from supervisor.parent.site import Site

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def harm(site: Site, driver: Driver, name: str, how: str) -> dict[str, Any] | Refusal:
    """Do it to the child, of a consumer to the first member that lives; return the reply."""
    found = next((each for each in site.members(name) if each in driver.processes), None)
    if found is None:
        state = site.fleet.children[site.members(name)[0]].state.value
        return Refusal(409, f"{name} has no process to harm: it is {state}", f"see: supervisor explain {name}")
    process = driver.processes[found]
    if how in _SIGNALS:
        process.send(_SIGNALS[how])
    elif not driver.order(found, Order("chaos", {"how": how})):
        return Refusal(409, f"{found} takes no orders: its pipe is full", f"see: supervisor explain {found}")
    expect = _expect(how, site.fleet.specs[found].policy)
    site.happened("warning", f"chaos: {how} of pid {process.pid}; {expect}", child=found, event="chaos")
    return {"name": found, "how": how, "pid": process.pid, "expect": expect, "replaced": _replaced(how, found, site)}


def _replaced(how: str, name: str, site: Site) -> bool:
    """Whether the process is to be replaced."""
    return how in ("kill", "stop", "hang") or (how == "leak" and site.fleet.specs[name].policy.max_rss is not None)


def _expect(how: str, policy: Policy) -> str:
    match how:
        case "kill":
            return "its process is gone at once, and replaced"
        case "stop":
            return f"no heartbeat for {policy.heartbeat_timeout:g} s, then it is killed and replaced"
        case "hang":
            return "no progress within 5 s of its next wake-up, then its stacks are taken and it is replaced"
        case "leak" if policy.max_rss is not None:
            return f"over max_rss ({policy.max_rss >> 20} MiB) it is replaced, when its run is through"
        case "leak":
            return "it takes 256 MiB and keeps them: without max_rss nobody minds"
        case _:
            return "its next run or record begins 5 s late, once"
