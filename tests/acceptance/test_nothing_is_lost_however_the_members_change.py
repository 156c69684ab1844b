"""Members of a consumer come, go and die while records flow: every record that was sent is stored. On a real Kafka."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.eventually import eventually
from support.flow import STORE, WITHIN, Flow, kill
from support.project import FAST
from support.real_kafka import RealKafka
from support.supervisor_process import Supervisor

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

CALM = FAST.replace('grace_period = "2s"', 'grace_period = "30s"')  # whoever is asked to end may commit
SLOWLY = STORE.replace("    note(", "    time.sleep(0.001)\n    note(")
Act = Callable[[Flow, Supervisor], None]


@contextmanager
def load(flow: Flow) -> Iterator[None]:
    """Send records without a break until the block ends."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            flow.send(40)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def goes_on(flow: Flow, more: int = 40) -> None:
    """Wait until further records are stored."""
    seen = len(flow.by())
    eventually(lambda: len(flow.by()) >= seen + more, WITHIN, every=0.05, what="records are stored")


def under(flow: Flow, act: Act, rounds: int = 3) -> Counter[int]:
    """Let it happen under load; return how often each number was stored in the end."""
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        with load(flow):
            for _ in range(rounds):
                goes_on(flow)
                act(flow, supervisor)
            goes_on(flow)
        found = flow.wait_all_stored()
        supervisor.wait_ready()
        assert supervisor.stop(60) == 0, supervisor.stderr[-3000:]
    assert flow.committed() == flow.ends()
    return found


def toggle(flow: Flow, supervisor: Supervisor) -> None:
    for verb in ("disable", "enable"):
        assert supervisor.request("POST", f"/v1/children/reader/{verb}", {})[0] == 200
        state = "stopped" if verb == "disable" else "running"
        eventually(lambda state=state: {child["state"] for child in readers(supervisor)} == {state}, WITHIN)  # type: ignore[misc]


def toggle_at_once(flow: Flow, supervisor: Supervisor) -> None:
    for verb in ("disable", "enable", "disable", "enable"):
        assert supervisor.request("POST", f"/v1/children/reader/{verb}", {"now": True})[0] == 200


def restart_one(flow: Flow, supervisor: Supervisor) -> None:
    pid = supervisor.pid_of("reader:1")
    assert supervisor.request("POST", "/v1/children/reader:1/restart", {})[0] == 200
    supervisor.wait_child("reader:1", lambda child: child["ready"] and child["pid"] != pid, WITHIN)


def readers(supervisor: Supervisor) -> list[dict[str, object]]:
    return [child for child in supervisor.status()["children"] if child["group"] == "reader"]


@pytest.mark.parametrize("act", [toggle, toggle_at_once, restart_one], ids=lambda act: act.__name__)
def test_planned_changes_lose_nothing_and_repeat_nothing(tmp_path: Path, real_kafka: RealKafka, act: Act) -> None:
    found = under(Flow(tmp_path, real_kafka, SLOWLY, head=CALM, processes="3"), act)
    assert set(found.values()) == {1}


def test_other_numbers_of_processes_lose_nothing_and_repeat_nothing(tmp_path: Path, real_kafka: RealKafka) -> None:
    numbers = iter(("3", "1", "2", "1", "3"))

    def change(flow: Flow, supervisor: Supervisor) -> None:
        number = next(numbers)
        flow.change(supervisor, processes=number)
        eventually(lambda: len(readers(supervisor)) == int(number), WITHIN, what=f"{number} members")

    found = under(Flow(tmp_path, real_kafka, SLOWLY, head=CALM, processes="2"), change, rounds=5)
    assert set(found.values()) == {1}


def test_another_topic_is_read_from_where_it_begins_and_the_old_one_to_where_it_was(
    tmp_path: Path, real_kafka: RealKafka
) -> None:
    flow = Flow(tmp_path, real_kafka, SLOWLY, head=CALM, processes="2")
    other = real_kafka.create(4)
    with flow.made.supervisor() as supervisor:
        flow.send(400)
        flow.send(400, topic=other)
        goes_on(flow)
        flow.change(supervisor, topics=f'["{other}"]')
        flow.wait_stored(range(400, 800))
        flow.change(supervisor, topics=f'["{other}", "{flow.topic}"]')
        flow.send(40)
        found = flow.wait_all_stored()
        assert set(found.values()) == {1}
        assert supervisor.stop(60) == 0


def test_another_group_begins_anew(tmp_path: Path, real_kafka: RealKafka) -> None:
    flow = Flow(tmp_path, real_kafka, head=CALM, processes="2")
    with flow.made.supervisor() as supervisor:
        flow.send(400)
        flow.wait_all_stored()
        flow.change(supervisor, group_id=f'"{flow.group}-2"')
        eventually(lambda: set(flow.stored().values()) == {2}, WITHIN, what="the new group has read all")
        assert supervisor.stop(60) == 0


def test_a_member_over_its_memory_limit_is_replaced_after_what_it_has_in_hand(
    tmp_path: Path, real_kafka: RealKafka
) -> None:
    code = SLOWLY.replace(
        "def store(record):\n", "HELD = []\n\ndef store(record):\n    HELD.append(bytearray(1 << 20))\n"
    )
    flow = Flow(tmp_path, real_kafka, code, head=CALM, processes="2", max_rss='"150MiB"')
    with flow.made.supervisor() as supervisor:
        with load(flow):
            supervisor.wait_child("reader:1", lambda child: child["starts"] >= 2, WITHIN)
            goes_on(flow)
        flow.wait_all_stored()
        assert "over its limit" in supervisor.stderr


# commits go out every second: one that covered the record in hand would lose it
CRASHES = SLOWLY.replace(
    "def store(record):\n",
    """def store(record):
    mark = os.path.join(HERE, "crashed")
    if record.partition == 0 and not os.path.exists(mark):
        time.sleep(2.5)
        open(mark, "w").close()
        os._exit(3)
""",
)


def test_a_crash_in_the_handler_of_one_member(tmp_path: Path, real_kafka: RealKafka) -> None:
    def crash(flow: Flow, supervisor: Supervisor) -> None:
        (flow.made.folder / "crashed").unlink()
        eventually((flow.made.folder / "crashed").exists, WITHIN, what="it crashed again")

    flow = Flow(tmp_path, real_kafka, CRASHES, head=CALM, processes="2")
    found = under(flow, crash, rounds=2)
    assert max(found.values()) <= 4, "what was in hand comes again, not everything"


def test_a_kill_of_any_member(tmp_path: Path, real_kafka: RealKafka) -> None:
    names = iter(("reader:1", "reader:3", "reader:2", "reader:1"))
    under(
        Flow(tmp_path, real_kafka, SLOWLY, head=CALM, processes="3"),
        lambda flow, supervisor: void(kill(supervisor, next(names))),
        rounds=4,
    )


def test_a_kill_of_the_supervisor(tmp_path: Path, real_kafka: RealKafka) -> None:
    def kill_it(flow: Flow, supervisor: Supervisor) -> None:
        supervisor.kill()
        supervisor.start()

    under(Flow(tmp_path, real_kafka, SLOWLY, head=CALM, processes="2"), kill_it)


def void(_: object) -> None: ...


DEADLY = """
    if record.value == 17:
        note("tried", os.getpid())
        os.kill(os.getpid(), signal.SIGSEGV)
"""
POISON = STORE.replace("def store(record):\n", f"def store(record):{DEADLY}")


@pytest.mark.parametrize("shape", ["record", "records"])
def test_a_record_that_kills_goes_to_the_dead_letters_whichever_member_it_meets(
    tmp_path: Path, real_kafka: RealKafka, shape: str
) -> None:
    batch = "\ndef store_all(records):\n    for record in records:\n        store(record)\n"
    handler = '"mine:store"' if shape == "record" else '"mine:store_all"'
    flow = Flow(tmp_path, real_kafka, POISON + batch, head=CALM, processes="2", handler=handler)
    with flow.made.supervisor() as supervisor:
        flow.send(16)
        flow.wait_stored(range(16))
        flow.send(84)
        (letter,) = flow.kafka.read(flow.letters, 1, within=WITHIN)
        assert letter.value() == b"17"
        assert b"killed its process 3 times" in dict(letter.headers())["kafka_dlt-exception-message"]
        deaths = len(flow.made.lines("tried"))
        # a batch is named by its first record, which may be of another partition each time
        assert deaths == 3 if shape == "record" else 3 <= deaths <= 2 * flow.partitions
        eventually(lambda: flow.by().keys() == set(range(100)) - {17}, WITHIN, what="all others are stored")
        supervisor.wait_ready()
        assert supervisor.stop(60) == 0
    assert flow.committed() == flow.ends()
    assert flow.kafka.end(flow.letters) == 1
