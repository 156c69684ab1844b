"""RUNS IN THE PARENT: remembers at which record the processes of a consumer died, and tells its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor.core.kafka.poison import HANDLING, Death, Poison
from supervisor.core.lifecycle.exits import Cause, LastExit
from supervisor.core.spec import ConsumerSettings
from supervisor.core.wire.messages import Order
from supervisor.parent.site import Site


class Poisons:
    """One memory per consumer, whichever member died."""

    def __init__(self, site: Site, order: Callable[[str, Order], bool]) -> None:
        self._site = site
        self._order = order
        self._of: dict[str, Poison] = {}

    def orders(self, name: str) -> dict[str, Any]:
        """Return what a new process of this child has to know."""
        found = self._of.get(self._site.fleet.specs[name].group)
        return found.orders() if found else {}

    def died(self, name: str, last: LastExit) -> None:
        """A planned end, or one outside the handler, accuses no record."""
        spec = self._site.fleet.specs.get(name)
        if spec is None or not isinstance(spec.settings, ConsumerSettings):
            return
        if not Cause(last.cause).counted or last.phase not in HANDLING or last.offset < 0:
            return
        memory = self._of.setdefault(spec.group, Poison())
        death = Death(last.subject, last.partition, last.offset, last.reason)
        if memory.died(death, spec.settings.batch_size if HANDLING[last.phase] else 1):
            text = f"{last.subject}[{last.partition}] at {last.offset} has killed three processes: for the dead letters"
            self._site.happened("error", text, child=name, event="poison")
        self._tell_others(spec.group, memory)

    def _tell_others(self, group: str, memory: Poison) -> None:
        """The partition may come to a living member before the dead one is back."""
        for member in self._site.members(group):
            if self._site.fleet.children[member].alive:
                self._order(member, Order("poison", memory.newest()))
