"""RUNS IN PYTEST: a real Apache Kafka from the jars in .kafka/libs: one for the session, others where a test needs one.

Loopback only, free ports, data in a temporary folder, a process group of its own; it dies with pytest.
"""

from __future__ import annotations

import ctypes
import itertools
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import leaks
from support.kafka import EmbeddedBroker, Kafka

JARS = Path(__file__).parents[2] / ".kafka" / "libs"
START = 90.0  # seconds; 3 s when the machine is idle
_PR_SET_PDEATHSIG = 1
_numbers = itertools.count(1)

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={data}
num.partitions=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
"""
QUICK = """
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=3000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=500
"""
LOGGING = """
status=error
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c %m%n
"""


def why_not() -> str | None:
    """Return why no broker can run here."""
    if shutil.which("java") is None:
        return "Java 17 or newer is not installed"
    if not any(JARS.glob("kafka_2.13-*.jar")):
        return f"no Kafka jars in {JARS.relative_to(Path.cwd()) if JARS.is_relative_to(Path.cwd()) else JARS}"
    return None


class RealKafka:
    """A dead member is found out after 3 s; with `default_timeouts`, as Kafka comes, after 45 s."""

    def __init__(self, folder: Path, *, default_timeouts: bool = False) -> None:
        self.folder = folder
        self.port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._log = folder / "broker.log"
        self._config = folder / "kraft.properties"
        data = folder / "data"
        properties = PROPERTIES.format(port=self.port, controller=controller, data=data)
        self._config.write_text(self._prepare(properties if default_timeouts else properties + QUICK))
        (folder / "log4j2.properties").write_text(LOGGING)
        self._process: subprocess.Popen[bytes] | None = None
        self._format()
        self.start()

    def _prepare(self, properties: str) -> str:
        return properties

    def _users(self) -> list[str]:
        """Arguments of the format tool."""
        return []

    @property
    def client(self) -> dict[str, Any]:
        """What an admin client needs."""
        return {"bootstrap.servers": self.bootstrap}

    def kafka(self) -> Kafka:
        return Kafka(self.bootstrap, False, self.create)

    def create(self, partitions: int) -> str:
        topic = f"topic-{next(_numbers)}"
        self.create_topic(topic, partitions)
        return topic

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic and wait until every partition has a leader."""
        from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

        admin = AdminClient({**self.client, "log_level": 2})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        end = time.monotonic() + 30
        while not self._led(admin, name, partitions):
            assert time.monotonic() < end, f"{name} has no leader"
            time.sleep(0.02)

    def start(self) -> None:
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Does not wait. From the main thread only: it dies with the thread that launched it."""
        command = [*self._java("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"), "kafka.Kafka", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, preexec_fn=_die_with_pytest
            )
        leaks.keep(self._process.pid)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP: connections stay open and nobody answers."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)
            self.wait_until_it_answers()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    @property
    def gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return ["java", *options, "-cp", f"{JARS}/*", logging]

    def _format(self) -> None:
        tool = [*self._java("-Xmx128m"), "kafka.tools.StorageTool"]
        arguments = ["format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(self._config), *self._users()]
        done = subprocess.run([*tool, *arguments], capture_output=True, text=True, timeout=START, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def wait_until_it_answers(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """`meanwhile` is called again and again."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({**self.client, "log_level": 0, "reconnect.backoff.max.ms": 200})
        end = time.monotonic() + START
        while True:
            meanwhile()
            try:
                admin.list_topics(timeout=0.5)
                return
            except KafkaException:
                gone = self._process is not None and self._process.poll() is not None
                if gone or time.monotonic() > end:
                    raise AssertionError(f"no broker:\n{self._log.read_text()[-3000:]}") from None
            time.sleep(0.1)

    @staticmethod
    def _led(admin: Any, topic: str, partitions: int) -> bool:
        described = admin.list_topics(timeout=10).topics.get(topic)
        return described is not None and [p.leader for p in described.partitions.values()] == [1] * partitions


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _die_with_pytest() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def running(*, default_timeouts: bool = False) -> Iterator[RealKafka]:
    """A broker of its own, or the test is skipped with the reason why there is none."""
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="kafka-", dir="/tmp") as folder:
        server = RealKafka(Path(folder), default_timeouts=default_timeouts)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def real_kafka() -> Iterator[RealKafka]:
    """The one that all share: to be neither frozen nor restarted."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[RealKafka]:
    """One that the tests of a file may freeze and kill."""
    with running() as server:
        yield server


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path / "broker") as server:
        yield server


@pytest.fixture
def embedded_kafka(embedded: EmbeddedBroker) -> Kafka:
    return embedded.kafka()


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Kafka:
    """The same test on both: the product's embedded broker, and Apache Kafka."""
    name = "embedded" if request.param == "embedded" else "real_kafka"
    server = request.getfixturevalue(name)
    found: Kafka = server.kafka()
    return found
