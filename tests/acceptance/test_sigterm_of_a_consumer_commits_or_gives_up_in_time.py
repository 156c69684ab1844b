"""SIGTERM while records flow: what was handled is committed and comes only once; a frozen broker delays nobody."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from support.eventually import eventually
from support.flow import STORE, WITHIN, Flow
from support.project import FAST
from support.real_kafka import RealKafka
from support.system import of_this_session

pytestmark = pytest.mark.kafka

LOADED = 15.0  # seconds more on a loaded machine
DRAIN, CLOSE = 2.0, 1.0
HEAD = FAST.replace('grace_period = "2s"', 'grace_period = "30s"')
SLOWLY = STORE.replace("    note(", "    time.sleep(0.002)\n    note(")
HOLDING = STORE + '    while os.path.exists(os.path.join(HERE, "hold")):\n        time.sleep(0.01)\n'


@pytest.mark.parametrize("processes", ["1", "3"])
def test_what_was_handled_is_committed_and_comes_only_once(
    tmp_path: Path, real_kafka: RealKafka, processes: str
) -> None:
    flow = Flow(tmp_path, real_kafka, SLOWLY, head=HEAD, processes=processes)
    with flow.made.supervisor() as supervisor:
        flow.send(6000)
        for enough in (300, 600):
            eventually(lambda enough=enough: len(flow.by()) >= enough, WITHIN)  # type: ignore[misc]
            assert supervisor.stop(60) == 0, supervisor.stderr
            assert sum(at for at in flow.committed() if at > 0) == len(flow.by()) < flow.sent
            supervisor.start()
        found = flow.wait_all_stored()
        assert supervisor.stop(60) == 0
    assert set(found.values()) == {1}, "each was handled once"
    assert flow.committed() == flow.ends()


@pytest.mark.parametrize("in_hand", [False, True], ids=["idle", "records in hand"])
def test_a_frozen_broker_holds_up_the_exit_no_longer_than_drain_and_close(
    tmp_path: Path, own_kafka: RealKafka, in_hand: bool
) -> None:
    times = {"drain_timeout": f'"{DRAIN:g}s"', "close_timeout": f'"{CLOSE:g}s"'}
    flow = Flow(tmp_path, own_kafka, HOLDING, head=HEAD, processes="2", **times)
    with flow.made.supervisor() as supervisor:
        flow.wait_shared(2)
        if in_hand:
            flow.made.write("hold", "")
            numbers = flow.send(8)
            eventually(lambda: len(flow.holders(numbers)) == 2, WITHIN, what="both have a record in hand")
        with own_kafka.frozen():
            began = time.monotonic()
            assert supervisor.stop(60) == 0, supervisor.stderr
            took = time.monotonic() - began
            assert of_this_session() == []
        assert took < CLOSE + in_hand * DRAIN + 1.0 + LOADED, "the grace period is far longer"
        assert supervisor.stderr.count('"event": "stopped"') == 3, "the two members and the supervisor"


def test_what_a_frozen_broker_kept_from_being_committed_comes_again_and_nothing_is_lost(
    tmp_path: Path, own_kafka: RealKafka
) -> None:
    flow = Flow(tmp_path, own_kafka, SLOWLY, head=HEAD, close_timeout='"1s"')
    with flow.made.supervisor() as supervisor:
        flow.send(3000)
        eventually(lambda: len(flow.by()) >= 300, WITHIN)
        with own_kafka.frozen():
            supervisor.process.send_signal(signal.SIGTERM)
            assert supervisor.wait(60) == 0, supervisor.stderr
        supervisor.start()
        flow.wait_all_stored()
