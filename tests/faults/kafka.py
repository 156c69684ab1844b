"""K: what can go wrong with Kafka, on an embedded broker that answers with errors and, where it can, on a real one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

from faults.catalogue import NOT_HERE, fault
from faults.flowing import (
    CLASSIC,
    Embedded,
    Real,
    Server,
    line,
    on_both,
    on_embedded,
    on_real,
    once,
    pair,
    untouched,
    wait_committed,
    wait_waiting,
)
from faults.scene import HEAD, Scene
from supervisor.helper.evict import evict
from support.eventually import eventually
from support.flow import STORE, WITHIN, Flow, kill
from support.forked import call
from support.project import NOTE
from support.supervisor_process import Supervisor

NOT_HERE |= {
    "K3-real": ("the coordinator moves", "one real broker is always its own coordinator"),
    "K15-real": ("a slow broker", "only by delaying the loopback of the whole machine"),
}
SOON = '{ "reconnect.backoff.ms" = 100, "reconnect.backoff.max.ms" = 300 }'


@on_both(
    "K1",
    "the broker is away at the start",
    injected="the broker is down, the supervisor starts, the broker comes",
    expected="the consumer runs and says which broker it waits for; no crash; then records flow",
)
def _(scene: Scene, server: Server) -> None:
    flow = line(scene, server, properties=SOON)
    server.down()
    with flow.made.supervisor() as supervisor:
        wait_waiting(supervisor, server.bootstrap)
        server.up()
        flow.wait_stored(flow.send())
        supervisor.wait_child("reader", lambda child: child["waiting"] is None, within=WITHIN)
        untouched(supervisor)


@on_both(
    "K2",
    "the broker goes and comes back",
    injected="the broker is ended in mid-life, and comes with its data",
    expected="said while it lasts; the same process reads on, nothing lost",
)
def _(scene: Scene, server: Server) -> None:
    flow = line(scene, server, properties=SOON)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        server.down()
        wait_waiting(supervisor, "broker")
        server.up()
        flow.wait_stored(flow.send())
        wait_committed(flow)
        flow.wait_all_stored()
        untouched(supervisor)


@on_embedded(
    "K3",
    "the coordinator moves",
    injected="NOT_COORDINATOR in answer to heartbeats and commits",
    expected="the client finds the new one; no crash, nothing lost, at most what was not committed twice",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(scene, server)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        _refuses(flow, server, "OffsetCommit", ["NOT_COORDINATOR"] * 2, also="ConsumerGroupHeartbeat")
        assert max(flow.wait_all_stored().values()) <= 2
        untouched(supervisor)


def _refuses(flow: Flow, server: Embedded, api: str, codes: list[str], also: str = "") -> None:
    """Answer so, send records, and wait until all of it was met and the offsets are committed nevertheless."""
    before = server.mock.requests(api)
    server.mock.errors(api, codes)
    if also:
        server.mock.errors(also, codes)
    flow.wait_stored(flow.send())
    eventually(lambda: server.mock.requests(api) > before + len(codes), within=WITHIN, what="it was asked again")
    wait_committed(flow)


@on_embedded(
    "K4",
    "a commit fails for a moment",
    injected="REQUEST_TIMED_OUT in answer to commits",
    expected="the client tries again; nothing lost, nothing twice",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(scene, server)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        _refuses(flow, server, "OffsetCommit", ["REQUEST_TIMED_OUT"] * 2)
        once(flow)
        untouched(supervisor)


@on_real(
    "K4",
    "a commit fails for a moment",
    injected="SIGSTOP of the broker with commits under way, longer than a request may take",
    expected="the client tries again; nothing lost",
)
def _(scene: Scene, server: Real) -> None:
    flow = line(scene, server, properties='{ "socket.timeout.ms" = 1000 }')
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        with server.server.frozen():
            time.sleep(3)  # that is the fault
        flow.wait_stored(flow.send())
        wait_committed(flow)
        flow.wait_all_stored()
        untouched(supervisor)


@on_embedded(
    "K5",
    "a commit comes too late",
    injected="ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, NOT_COORDINATOR in answer to commits",
    expected="it joins again without a crash; nothing lost, at most the records in hand twice",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(scene, server, properties=CLASSIC)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        for code in ("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "NOT_COORDINATOR"):
            server.mock.errors("OffsetCommit", [code])
            flow.wait_stored(flow.send())
            wait_committed(flow)
        assert max(flow.wait_all_stored().values()) <= 2
        untouched(supervisor)


@on_real(
    "K5",
    "a commit comes too late",
    injected="the live member is put out of its group by an admin",
    expected="it joins again without a crash; nothing lost, at most the records in hand twice",
)
def _(scene: Scene, server: Real) -> None:
    flow = line(scene, server)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        member = supervisor.request("GET", "/v1/children/reader")[1]["facts"]["member"]
        assert call(evict, server.bootstrap, {}, flow.group, member, 20.0) == "evicted"
        flow.wait_stored(flow.send())
        wait_committed(flow)
        assert max(flow.wait_all_stored().values()) <= 2
        untouched(supervisor)


@on_embedded(
    "K6",
    "no right to commit",
    injected="GROUP_AUTHORIZATION_FAILED in answer to commits",
    expected="the missing right is named with what to grant; no crash; once it is there all is committed",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(scene, server)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        wait_committed(flow)
        server.mock.errors("OffsetCommit", ["GROUP_AUTHORIZATION_FAILED"] * 500)
        flow.wait_stored(flow.send())
        wait_waiting(supervisor, "grant READ on the group")
        server.mock.errors("OffsetCommit", [])
        flow.wait_stored(flow.send())
        wait_committed(flow)
        supervisor.wait_child("reader", lambda child: child["waiting"] is None, within=WITHIN)
        once(flow)
        untouched(supervisor)


def _as_app(scene: Scene, code: str = STORE, **settings: str) -> tuple[Any, Flow]:
    """On the broker with rights, as a user who has none."""
    server = scene.fixture("secured_kafka")
    user = ", ".join(f'"{key}" = "{value}"' for key, value in server.as_user("app").items())
    return server, line(scene, server, code, properties=f"{{ {user} }}", **settings)


@fault(
    "K6-real",
    "no right to commit",
    injected="a user without READ on the group, a real Apache Kafka with ACLs",
    expected="the missing right is named with what to grant; no crash; once it is there records flow",
    mark="kafka",
)
def _(scene: Scene) -> None:
    server, flow = _as_app(scene)
    server.grant("topic", flow.topic)
    with flow.made.supervisor() as supervisor:
        wait_waiting(supervisor, f'no right to read as group "{flow.group}": grant READ on the group')
        server.grant("group", flow.group)
        flow.wait_stored(flow.send())
        wait_committed(flow)
        untouched(supervisor)


@on_both(
    "K7",
    "the topic does not exist",
    injected="a consumer of a topic that is made later",
    expected="it says so and waits, nobody makes the topic; then records flow",
)
def _(scene: Scene, server: Server) -> None:
    name = f"later-{os.getpid()}-{time.monotonic_ns()}"
    flow = line(scene, server, topics=f'["{name}"]')
    with flow.made.supervisor() as supervisor:
        wait_waiting(supervisor, f'topic "{name}" does not exist: create it')
        assert flow.kafka.partitions(name) == 0
        server.mock.topic(name) if isinstance(server, Embedded) else server.server.create_topic(name, 1)  # type: ignore[attr-defined]
        flow.wait_stored(flow.send(topic=name))
        untouched(supervisor)


@on_embedded(
    "K8",
    "no right to read the topic",
    injected="TOPIC_AUTHORIZATION_FAILED in answer to fetches",
    expected="the missing right is named with what to grant; no crash; then records flow",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(scene, server)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        server.mock.errors("Fetch", ["TOPIC_AUTHORIZATION_FAILED"] * 500)
        numbers = flow.send()
        wait_waiting(supervisor, "grant READ and DESCRIBE on the topic")
        server.mock.errors("Fetch", [])
        flow.wait_stored(numbers)
        supervisor.wait_child("reader", lambda child: child["waiting"] is None, within=WITHIN)
        once(flow)
        untouched(supervisor)


@fault(
    "K8-real",
    "no right to read the topic",
    injected="a user without READ on the topic, a real Apache Kafka with ACLs",
    expected="the missing right is named with what to grant; no crash; then records flow",
    mark="kafka",
)
def _(scene: Scene) -> None:
    server, flow = _as_app(scene)
    server.grant("group", flow.group)
    with flow.made.supervisor() as supervisor:
        wait_waiting(supervisor, f'topic "{flow.topic}": grant READ')
        server.grant("topic", flow.topic)
        flow.wait_stored(flow.send())
        untouched(supervisor)


FLAP = """
import sys, time
from confluent_kafka import Consumer
bootstrap, group, topic, seconds = sys.argv[1:]
end, joins = time.monotonic() + float(seconds), 0
while time.monotonic() < end:
    member = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
                       "group.protocol": "classic", "partition.assignment.strategy": "cooperative-sticky",
                       "session.timeout.ms": 6000, "auto.offset.reset": "earliest", "log_level": 0})
    member.subscribe([topic])
    stay = time.monotonic() + 0.4
    while time.monotonic() < stay:
        member.poll(0.05)
    member.close()
    joins += 1
print(joins)
"""


@on_both(
    "K9",
    "a storm of rebalances",
    injected="three members that join and leave again and again, for five seconds",
    expected="records go on, what is given up is committed first; nothing lost",
)
def _(scene: Scene, server: Server) -> None:
    flow = pair(scene, server, properties=CLASSIC)
    command = [sys.executable, "-c", FLAP, server.bootstrap, flow.group, flow.topic, "5"]
    with flow.made.supervisor() as supervisor, ExitStack() as stack:
        flow.wait_stored(flow.send())
        flapping = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(3)]
        while any(one.poll() is None for one in flapping):
            flow.send(20)
        joins = sum(int(one.stdout.read()) for one in flapping if one.stdout is not None)
        assert joins >= 3, "there was no storm"
        assert max(flow.wait_all_stored().values()) <= joins
        wait_committed(flow)
        untouched(supervisor)


@on_both(
    "K10",
    "a handler slower than max.poll.interval.ms",
    injected="five seconds in one record, with an interval of two",
    expected="it stays in its group, for it polls meanwhile: nothing twice",
)
def _(scene: Scene, server: Server) -> None:
    code = NOTE + "def store(record):\n    record.value or time.sleep(5)\n    note('stored', f'{record.value} 1')\n"
    short = '"session.timeout.ms" = 1500, "heartbeat.interval.ms" = 300, "max.poll.interval.ms" = 2000'
    flow = line(scene, server, code, properties=f'{{ "group.protocol" = "classic", {short} }}')
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        once(flow)
        wait_committed(flow)
        untouched(supervisor)
        assert "put out of the group" not in (supervisor.state / "logs" / "reader.log").read_text()


POISON = """
def store(record):
    if record.value == 1:
        {harm}
    note("stored", f"{{record.value}} {{os.getpid()}}")
"""


def _all_but_the_poison(flow: Flow) -> dict[str, str]:
    """Send it among others; return the headers of its dead letter."""
    numbers = flow.send()
    eventually(lambda: set(flow.by()) == {*numbers} - {1}, within=WITHIN)
    [letter] = flow.kafka.read(flow.letters, 1)
    assert letter.value() == b"1"
    wait_committed(flow)
    return {key: value.decode(errors="replace") for key, value in letter.headers()}


@on_both(
    "K11",
    "a record that its handler cannot handle",
    injected="the handler raises, each time",
    expected="tried again in place, then a dead letter with its place and the error; those behind it flow",
)
def _(scene: Scene, server: Server) -> None:
    flow = line(scene, server, NOTE + POISON.format(harm="note('tries'); raise ValueError('not this one')"))
    with flow.made.supervisor() as supervisor:
        headers = _all_but_the_poison(flow)
        assert (headers["kafka_dlt-original-topic"], headers["kafka_dlt-exception-message"]) == (
            flow.topic,
            "not this one",
        )
        assert len(flow.made.lines("tries")) == 2
        untouched(supervisor)


@on_both(
    "K12",
    "a record that kills its process",
    injected="SIGKILL in the handler, each time",
    expected="after three deaths a dead letter that says so; those behind it flow",
)
def _(scene: Scene, server: Server) -> None:
    flow = line(scene, server, NOTE + POISON.format(harm="os.kill(os.getpid(), signal.SIGKILL)"))
    with flow.made.supervisor() as supervisor:
        headers = _all_but_the_poison(flow)
        assert any("killed its process 3 times" in text for text in headers.values()), headers
        assert supervisor.child("reader")["starts"] == 4


@on_both(
    "K13",
    "records as nobody expects them",
    injected="a tombstone, bytes that are no UTF-8, 900,000 bytes, and 10,000 headers",
    expected="the handler gets them as they are",
)
def _(scene: Scene, server: Server) -> None:
    code = NOTE + "def store(record):\n    note('got', f'{len(record.value or b'')} {len(record.headers)}')\n"
    flow = line(scene, server, code.replace("b''", 'b""'), format='"bytes"')
    flow.kafka.produce(flow.topic, [None, b"\xff\xfe\x00", b"x" * 900_000])
    flow.kafka.produce(flow.topic, [b"many"], headers=[(f"h{n}", b"x") for n in range(10_000)])
    with flow.made.supervisor() as supervisor:
        eventually(lambda: len(flow.made.lines("got")) == 4, within=WITHIN)
        assert flow.made.lines("got") == ["0 0", "3 0", "900000 0", "4 10000"]
        untouched(supervisor)


@on_embedded(
    "K14",
    "a dead letter cannot be produced",
    injected="TOPIC_AUTHORIZATION_FAILED in answer to the producer",
    expected="the record is not committed and its partition pauses, seen in status; then the letter is there",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(scene, server, NOTE + POISON.format(harm="raise ValueError('no')"))
    with flow.made.supervisor() as supervisor:
        supervisor.wait_child("reader", lambda child: child.get("partitions"), within=WITHIN)
        numbers = flow.send()
        server.mock.errors("Produce", ["TOPIC_AUTHORIZATION_FAILED"] * 500)
        _held(flow, supervisor)
        server.mock.errors("Produce", [])
        _goes_on(flow, supervisor, numbers)


def _held(flow: Flow, supervisor: Supervisor) -> None:
    child = supervisor.wait_child(
        "reader", lambda child: any(one["paused"] for one in child.get("partitions", ())), WITHIN
    )
    assert child["partitions"][0]["position"] == 1
    assert flow.committed() != flow.ends()
    assert flow.by().keys() == {0}


def _goes_on(flow: Flow, supervisor: Supervisor, numbers: range) -> None:
    [letter] = flow.kafka.read(flow.letters, 1)
    assert letter.value() == b"1"
    eventually(lambda: set(flow.by()) == {*numbers} - {1}, within=WITHIN)
    wait_committed(flow)
    untouched(supervisor)


@fault(
    "K14-real",
    "a dead letter cannot be produced",
    injected="a user without WRITE on the dead-letter topic, a real Apache Kafka with ACLs",
    expected="the record is not committed and its partition pauses, seen in status; then the letter is there",
    mark="kafka",
)
def _(scene: Scene) -> None:
    server, flow = _as_app(scene, NOTE + POISON.format(harm="raise ValueError('no')"))
    server.grant("group", flow.group)
    server.grant("topic", flow.topic)
    with flow.made.supervisor() as supervisor:
        numbers = flow.send()
        _held(flow, supervisor)
        server.grant("topic", flow.letters, "WRITE")
        _goes_on(flow, supervisor, numbers)


@on_embedded(
    "K15",
    "a slow broker",
    injected="each answer of the broker takes 1.5 s",
    expected="no process is taken for hung or stuck; records flow, slowly",
)
def _(scene: Scene, server: Embedded) -> None:
    flow = line(
        scene,
        server,
        properties='{ "group.protocol" = "classic", "session.timeout.ms" = 30000, "heartbeat.interval.ms" = 3000 }',
    )
    numbers = flow.send()
    server.mock.rtt(1500)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(numbers)
        untouched(supervisor)
        server.mock.rtt(0)


@on_embedded(
    "K16",
    "records are deleted before they were read",
    injected="more than the broker keeps, while the consumer is down",
    expected="it reads on where the policy says, and tells how many it never saw",
)
def _(scene: Scene, server: Embedded) -> None:
    def overtake(flow: Flow) -> None:
        flow.kafka.produce(flow.topic, [b'"' + b"x" * 500_000 + b'"'] * 14)

    _overtaken(scene, server, overtake)


@on_real(
    "K16",
    "records are deleted before they were read",
    injected="records are deleted by an admin while the consumer is down",
    expected="it reads on where the policy says, and tells how many it never saw",
)
def _(scene: Scene, server: Real) -> None:
    def overtake(flow: Flow) -> None:
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import AdminClient

        flow.kafka.produce(flow.topic, ["gone"] * 7)
        place = TopicPartition(flow.topic, 0, flow.ends()[0] - 1)
        admin = AdminClient({**server.server.client, "log_level": 2})
        for answer in admin.delete_records([place]).values():
            answer.result(30)

    _overtaken(scene, server, overtake)


def _overtaken(scene: Scene, server: Any, overtake: Any) -> None:
    code = NOTE + "def store(record):\n    note('offsets', record.offset)\n"
    flow = line(scene, server, code)
    with flow.made.supervisor() as supervisor:
        flow.send()
        eventually(lambda: len(flow.made.lines("offsets")) == 4, within=WITHIN)
        assert supervisor.stop() == 0
    overtake(flow)
    with flow.made.supervisor() as supervisor:
        eventually(lambda: len(flow.made.lines("offsets")) > 4, within=WITHIN)
        first = int(flow.made.lines("offsets")[4])
        assert first > 4, "nothing was deleted"
        said = f"{flow.topic}:0: {first - 4} records were deleted before they were read, offsets 4 to {first - 1}"
        eventually(lambda: said in supervisor.stderr, within=WITHIN, what=said)
        untouched(supervisor)


def _killed(scene: Scene, server: Server) -> Flow:
    flow = line(scene, server)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        for _ in range(KILLS):
            numbers = flow.send(200)
            eventually(lambda numbers=numbers: flow.by().keys() & set(numbers), within=WITHIN, every=0.01)  # type: ignore[misc]
            kill(supervisor, "reader")
            supervisor.wait_child("reader", lambda child: child["ready"] and child["restarts"], within=WITHIN)
        flow.wait_all_stored()
        wait_committed(flow)
    return flow


KILLS = 5


@on_embedded(
    "K17",
    "kill -9 of the consumer under load",
    injected="five times while records come (200 times, with a million records: tests/chaos/storm.py)",
    expected="nothing lost (a broker without a cluster id: what was not committed comes again)",
)
def _(scene: Scene, server: Server) -> None:
    _killed(scene, server)


@on_real(
    "K17",
    "kill -9 of the consumer under load",
    injected="five times while records come (200 times, with a million records: tests/chaos/storm.py)",
    expected="nothing lost, at most one record twice for each kill, in order",
)
def _(scene: Scene, server: Server) -> None:
    flow = _killed(scene, server)
    found = flow.stored()
    assert sum(found.values()) - len(found) <= KILLS, found
    order = [int(text.split()[0]) for text in flow.made.lines("stored")]
    assert all(later >= earlier for earlier, later in itertools.pairwise(order))


@on_both(
    "K18",
    "a zombie",
    injected="SIGSTOP of one of two members, past its session, then SIGCONT",
    expected="the other one reads on; the zombie commits nothing over it, and joins again",
)
def _(scene: Scene, server: Server) -> None:
    flow = pair(scene, server, head=HEAD.replace('timeout = "2s"', 'timeout = "60s"'), processes="2")
    with flow.made.supervisor() as supervisor:
        flow.wait_shared(2)
        zombie = supervisor.pid_of("reader:1")
        os.kill(zombie, signal.SIGSTOP)
        assert flow.wait_stored(flow.send()) == {supervisor.pid_of("reader:2")}
        wait_committed(flow)
        before = flow.committed()
        os.kill(zombie, signal.SIGCONT)
        flow.wait_shared(2)
        assert all(now >= then for now, then in zip(flow.committed(), before, strict=True))
        wait_committed(flow)
        flow.wait_all_stored()
        assert supervisor.child("reader:2")["starts"] == 1
