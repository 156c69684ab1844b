"""The fixtures for the tests of users: `kafka_mock`, a broker of their own, and `run_consumer`."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from supervisor.core.config.problems import ConfigError
from supervisor.core.kafka.record import Record
from supervisor.testing_kafka import KafkaMock, MockFailed, NotDone, run_consumer
from support.eventually import eventually
from support.readme import blocks

pytest_plugins = ["pytester"]
PLUGIN = "supervisor.pytest_plugin"
CONFIG = """
[supervisor]
timezone = "UTC"

[kafka]
bootstrap_servers = "kafka.example.com:9093"
properties = { "security.protocol" = "SASL_SSL", "sasl.username" = "app", "sasl.password" = "${PASSWORD:-none}" }

[tasks.other]
run = "nowhere:to_be_found"
every = "1h"

[consumers.orders]
handler = "mine:handle"
topics = ["orders"]
group_id = "orders"
auto_offset_reset = "latest"
retries = 1
dead_letter_topic = "orders.dlq"

[consumers.strict]
handler = "mine:strict"
topics = ["strict"]
group_id = "strict"
auto_offset_reset = "earliest"
"""
CODE = """
import os, signal
from supervisor import Skip, StopPartition

seen = {}


def handle(record):
    number = record.value["id"]
    seen[number] = seen.get(number, 0) + 1
    print("got", number)
    if number == 2 and seen[number] == 1:
        raise ConnectionResetError("once")
    if number == 3:
        raise ValueError("never")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        raise Skip("not mine")


def strict(record):
    if record.value == "stop":
        raise StopPartition("look at it first")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("user")
    (made / "config.toml").write_text(CONFIG)
    (made / "mine.py").write_text(CODE)
    return made


@pytest.fixture
def kafka() -> Iterator[KafkaMock]:
    with KafkaMock() as broker:
        yield broker


def test_a_consumer_is_run_over_records_as_the_product_does_it(kafka: KafkaMock, folder: Path) -> None:
    """Retries, dead letters, a skip, a record that kills its process three times; delivery to the end."""
    records = [{"id": 1}, {"id": 2}, b"no json", {"id": 3}, {"id": 4}, {"id": 5}, Record(value={"id": 6}, key=b"k")]
    outcome = run_consumer(kafka, "orders", records, config=folder / "config.toml")
    assert [record.value for record in outcome.handled] == [{"id": n} for n in (1, 2, 5, 6)]
    assert outcome.handled[-1].key == b"k"
    assert outcome.handled[-1].id == "orders:0:6"
    assert [(letter.value, letter.exception) for letter in outcome.dead_letters] == [
        ("no json", "supervisor.core.kafka.decode.Undecodable"),
        ({"id": 3}, "builtins.ValueError"),
        ({"id": 4}, "supervisor.child.kafka.quarantine.Poisoned"),
    ]
    letter = outcome.dead_letters[1]
    assert (letter.message, letter.attempts, letter.source) == ("never", 2, "orders:0:3")
    assert outcome.committed == {("orders", 0): 7}
    assert outcome.starts == 4
    assert outcome.counts == {"dead_letters": 1, "skipped": 1}  # of the last process
    assert outcome.retries >= 2
    assert outcome.held == {}
    assert "got 6" in outcome.log
    assert "ConnectionResetError: once" in outcome.log
    assert [stored.json for stored in kafka.records("orders.dlq")[1:]] == [{"id": 3}, {"id": 4}]


def test_a_second_run_goes_on_where_the_first_one_ended(kafka: KafkaMock, folder: Path) -> None:
    config = folder / "config.toml"
    assert len(run_consumer(kafka, "orders", [{"id": 1}], config=config).handled) == 1
    again = run_consumer(kafka, "orders", [{"id": 7}], config=config)
    assert [(record.value, record.offset) for record in again.handled] == [({"id": 7}, 1)]
    assert again.committed == {("orders", 0): 2}


def test_a_partition_that_is_stopped_is_told_as_that(kafka: KafkaMock, folder: Path) -> None:
    outcome = run_consumer(kafka, "strict", ["go", "stop", "behind"], config=folder / "config.toml")
    assert [record.value for record in outcome.handled] == []
    assert list(outcome.held) == [("strict", 0)]


def test_what_is_not_done_in_time_fails_with_where_it_stands(kafka: KafkaMock, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "mine.py").write_text("import time\n\n\ndef handle(record):\n    time.sleep(4)\n")
    with pytest.raises(NotDone, match=r"not done in time: orders:0 from 0 on; "):
        run_consumer(kafka, "orders", [{"id": 1}], config=tmp_path / "config.toml", within=2.0)
    (tmp_path / "mine.py").write_text("def handles(record):\n    pass\n")
    with pytest.raises(NotDone, match=r"(?s)orders is fatal: .*did you mean .handles"):
        run_consumer(kafka, "orders", [], config=tmp_path / "config.toml")
    with pytest.raises(ValueError, match=r"there is no consumer 'order'; did you mean 'orders'"):
        run_consumer(kafka, "order", [], config=tmp_path / "config.toml")
    (tmp_path / "config.toml").write_text("[consumers.orders]\n")
    with pytest.raises(ConfigError):
        run_consumer(kafka, "orders", [], config=tmp_path / "config.toml")


def test_the_broker_keeps_what_it_has_while_it_is_down(kafka: KafkaMock) -> None:
    kafka.topic("t", partitions=2)
    assert kafka.produce("t", {"a": 1}, "text", b"\xff", None, key="k", headers={"h": "1"}, partition=1) == [
        (1, n) for n in range(4)
    ]
    address = kafka.bootstrap_servers
    kafka.down()
    with pytest.raises(MockFailed, match="the broker is down"):
        kafka.records("t")
    kafka.up()
    assert kafka.bootstrap_servers == address
    found = eventually(lambda: kafka.records("t"), within=20.0)
    assert [stored.value for stored in found] == [b'{"a": 1}', b"text", b"\xff", None]
    assert found[0].json == {"a": 1}
    assert (found[0].key, found[0].headers, found[0].partition) == (b"k", (("h", b"1"),), 1)


def test_a_broker_that_goes_away_during_the_run_is_waited_for(kafka: KafkaMock, folder: Path) -> None:
    def trouble() -> None:
        eventually(lambda: kafka.requests("ConsumerGroupHeartbeat"), within=20.0)
        kafka.down()
        time.sleep(1.0)  # longer than it takes to be noticed
        kafka.up()

    other = threading.Thread(target=trouble)
    other.start()
    outcome = run_consumer(kafka, "strict", [str(n) for n in range(50)], config=folder / "config.toml")
    other.join()
    assert len(outcome.handled) == 50
    assert kafka.requests("ConsumerGroupHeartbeat")


def test_the_broker_delays_fails_and_counts_requests(kafka: KafkaMock) -> None:
    kafka.produce("t", "warm")
    before = kafka.requests("Produce")
    kafka.errors("Produce", ["NOT_ENOUGH_REPLICAS", 19])
    kafka.produce("t", "x")
    assert kafka.requests("Produce") - before == 3
    kafka.rtt(300)
    begun = time.monotonic()
    kafka.produce("t", "y")
    assert time.monotonic() - begun >= 0.3
    kafka.rtt(0)
    with pytest.raises(ValueError, match="there is no request 'Produces'"):
        kafka.errors("Produces", [1])
    with pytest.raises(MockFailed, match="there is no error 'NO_SUCH'"):
        kafka.errors("Produce", ["NO_SUCH"])


def plugin() -> list[str]:
    """How pytest is told of it, where it is not installed as an entry point."""
    known = [each.value for each in entry_points(group="pytest11")]
    return [] if PLUGIN in known else ["-p", PLUGIN]


def test_a_test_of_three_lines_is_enough(pytester: pytest.Pytester, folder: Path) -> None:
    pytester.makefile(".toml", config=CONFIG)
    pytester.makepyfile(mine=CODE)
    pytester.makepyfile(
        """
        def test_orders(run_consumer):
            outcome = run_consumer("orders", [{"id": 1}, {"id": 3}])
            assert [each.value for each in outcome.handled] == [{"id": 1}]

        def test_beside_a_broker(run_consumer, kafka_mock):
            kafka_mock.topic("orders", partitions=3)
            kafka_mock.errors("Fetch", ["NOT_LEADER_FOR_PARTITION"])
            assert sum(run_consumer("orders", [{"id": 6}]).committed.values()) == 1
        """
    )
    result = pytester.runpytest_subprocess(*plugin(), "-q", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=2)


def test_the_example_of_the_readme_runs_as_it_stands(pytester: pytest.Pytester) -> None:
    test = next(block for block in blocks("README.md", "python") if "run_consumer" in block)
    handler = next(block for block in blocks("README.md", "python") if "def paid(" in block)
    table = next(block for block in blocks("README.md", "toml") if "[consumers.payments]" in block)
    tasks = pytester.mkpydir("tasks")
    (tasks / "invoices.py").write_text(handler)
    (tasks / "database.py").write_text(
        "from sqlalchemy import create_engine\nfrom sqlalchemy.orm import Session\n\n\n"
        "def session():\n    return Session(create_engine('sqlite://'))\n"
    )
    pytester.makefile(".toml", config=f'[resources]\ndb = "tasks.database:session"\n\n{table}')
    pytester.mkdir("tests").joinpath("test_payments.py").write_text(test)
    pytester.runpytest_subprocess(*plugin(), "-p", "no:cacheprovider", "tests").assert_outcomes(passed=1)


def test_it_costs_other_suites_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            heavy = {"confluent_kafka", "pydantic", "supervisor.testing_kafka", "supervisor.client", "click"}
            assert "supervisor.pytest_plugin" in sys.modules
            assert not heavy & sys.modules.keys()
        """
    )
    pytester.runpytest_subprocess(*plugin(), "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_package_registers_the_plugin() -> None:
    import tomllib

    found = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert found["project"]["entry-points"]["pytest11"] == {"forkwarden": PLUGIN}
    told = subprocess.run([sys.executable, "-c", f"import {PLUGIN}"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
