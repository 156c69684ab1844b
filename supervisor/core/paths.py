"""Where things lie in the state folder: names only, nothing is touched."""

from __future__ import annotations

from typing import NamedTuple


class Paths(NamedTuple):
    """The state folder, `.supervisor/` beside config.toml by default."""

    root: str

    @property
    def socket(self) -> str:
        return f"{self.root}/ctl.sock"

    @property
    def lock(self) -> str:
        return f"{self.root}/lock"

    @property
    def keepers(self) -> str:
        """A FIFO: the supervisor reads it, web processes hold it open (core/held)."""
        return f"{self.root}/keepers"

    @property
    def overrides(self) -> str:
        return f"{self.root}/toggles.json"

    @property
    def journal(self) -> str:
        return f"{self.root}/journal"

    @property
    def events(self) -> str:
        """Every transition, one JSON line each, numbered; the older ones in events.1 and events.2."""
        return f"{self.root}/events"

    @property
    def broker(self) -> str:
        """The embedded broker's address: {"bootstrap_servers", "incarnation", "pid"}; absent while it is down."""
        return f"{self.root}/broker.json"

    @property
    def logs(self) -> str:
        return f"{self.root}/logs"

    @property
    def crashes(self) -> str:
        return f"{self.root}/crashes"

    @property
    def history(self) -> str:
        return f"{self.root}/history"

    def progress(self, consumer: str) -> str:
        """How far its members have handled their partitions (core/kafka/page)."""
        return f"{self.root}/progress/{consumer}.page"

    def log(self, child: str) -> str:
        return f"{self.logs}/{child}.log"

    def ledger(self, task: str) -> str:
        return f"{self.history}/{task}.db"
