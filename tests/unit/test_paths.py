"""Where things lie in the state folder: these names are what people and other programs know."""

from __future__ import annotations

from supervisor.core.paths import Paths


def test_everything_lies_under_its_known_name() -> None:
    paths = Paths("/state")
    assert (paths.socket, paths.lock, paths.keepers) == ("/state/ctl.sock", "/state/lock", "/state/keepers")
    assert (paths.overrides, paths.journal, paths.events) == ("/state/toggles.json", "/state/journal", "/state/events")
    assert paths.progress("reader") == "/state/progress/reader.page"
    assert (paths.broker, paths.crashes) == ("/state/broker.json", "/state/crashes")
    assert (paths.log("reader:1"), paths.ledger("tick")) == ("/state/logs/reader:1.log", "/state/history/tick.db")
