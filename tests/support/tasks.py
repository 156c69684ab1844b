"""RUNS IN PYTEST: one task with its code, its folder, and as many processes after each other as a test wants."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supervisor.child.birth import LastExit
from supervisor.child.schedule import runner
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import records
from supervisor.core.spec import Policy, TaskSettings
from support.child import ForkedChild, spec


class Task:
    """`code` is the user's module `mine`; its function `run` unless said otherwise."""

    def __init__(self, folder: Path, code: str, *, policy: Policy | None = None, **settings: Any) -> None:
        self.folder = folder
        self.policy = policy
        self.settings = TaskSettings(**{"run": "mine:run", **settings})
        (folder / "mine.py").write_text(textwrap.dedent(code))
        (folder / ".supervisor" / "history").mkdir(parents=True, exist_ok=True)
        self.path = str(folder / ".supervisor" / "history" / "mail.db")

    def start(self, previous: LastExit | None = None, **extra: Any) -> ForkedChild:
        return ForkedChild(
            runner.run, spec("mail", self.settings, policy=self.policy), self.folder, previous=previous, extra=extra
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Write what an earlier process is to have left, as of the same schedule."""
        from supervisor.core.schedule.slots import trigger

        made = Ledger(self.path, lambda code, text: None)
        made.set_meta("trigger", trigger(self.settings).describe())
        try:
            yield made
        finally:
            made.shut()

    def ran(self, slot: float, state: str = "ok") -> None:
        with self.ledger() as ledger:
            ledger.finish(ledger.begin(slot, "schedule", attempt=1, lateness=0.0), state, duration=0.1)

    @property
    def records(self) -> list[dict[str, Any]]:
        return records(self.path, limit=100_000)
