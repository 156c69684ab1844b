"""`supervisor kafka doctor`: each thing that keeps a consumer from its records is named, with what to do about it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.kafka import WITHIN, Consumer, Kafka, consumer_spec
from support.project import FAST, NOTE, Project
from support.real_kafka import RealKafka
from support.secured_kafka import secured

CONFIG = """
    [kafka]
    bootstrap_servers = "{where}"
    {more}

    [consumers.one]
    handler = "mine:one"
    topics = ["{topic}"]
    group_id = "{group}"
    auto_offset_reset = "earliest"
    """
CODE = NOTE + '\n\ndef one(record):\n    note("one", record.value)\n'
BOUND = 25.0  # seconds: ten are promised, and on a machine at work the command takes some to begin
Checks = list[dict[str, Any]]


def told(mine: Project) -> tuple[int, dict[str, Checks]]:
    found = mine.run("kafka", "doctor", "--json")
    assert found.stdout, found.stderr
    whole = json.loads(found.stdout)
    assert whole["ok"] == (found.returncode == 0)
    return found.returncode, whole["consumers"]


def wrong(checks: Checks) -> list[str]:
    return [f"{each['name']}: {each['text']} → {each['fix']}" for each in checks if each["ok"] is False]


def of(checks: Checks, name: str) -> dict[str, Any]:
    (found,) = [each for each in checks if each["name"] == name]
    return found


def configured(where: str, topic: str, group: str = "g", *, more: str = "", own: str = "") -> str:
    return CONFIG.format(where=where, topic=topic, group=group, more=more) + own


def test_a_healthy_consumer_of_the_embedded_broker_has_no_problem(project: Callable[..., Project]) -> None:
    mine = project(FAST + configured("embedded", "ones", own='dead_letter_topic = "given.up"\n'), CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: len(child.get("partitions") or []) == 4, WITHIN)
        assert supervisor.cli("kafka", "produce", "given.up", "x").returncode == 0
        found = supervisor.cli("kafka", "doctor", "one")
    assert found.returncode == 0, found.stdout
    lines = found.stdout.splitlines()
    assert lines[0] == "one"
    assert [line.split()[1] for line in lines[1:]] == [
        *("address", "broker", "topic", "dead", "group", "protocol", "processes", "offsets", "lag", "clock")
    ]
    assert "ones has 4 partitions" in found.stdout
    assert "given.up is there, and holds 1 letter → supervisor kafka dlq ls one" in found.stdout
    assert "one holds 4" in found.stdout
    assert found.stderr == "0 problems in 10 checks\n"


def test_without_the_embedded_broker_or_the_name_it_says_so(project: Callable[..., Project]) -> None:
    mine = project(configured("embedded", "ones"), CODE)
    code, found = told(mine)
    assert code == 1
    assert wrong(found["one"]) == [
        "broker: the embedded broker lives only as long as the supervisor → supervisor start"
    ]
    assert mine.run("kafka", "doctor", "two").stderr.startswith("error: there is no consumer 'two'; ")


def test_an_address_where_nobody_listens_is_named_and_asked_once(project: Callable[..., Project]) -> None:
    mine = project(configured("127.0.0.1:1,nowhere.invalid:9092", "t"), CODE)
    config = mine.config.read_text()
    mine.configure(config + config[config.index("[consumers") :].replace(".one]", ".two]"))
    code, found = told(mine)
    assert code == 1
    first, second = (each["text"] for each in found["one"])
    assert first == "127.0.0.1:1 nobody listens there"
    assert second.startswith("nowhere.invalid:9092 its name is not known: ")
    assert [each["text"] for each in found["two"]] == ["127.0.0.1:1,nowhere.invalid:9092 gives no answer, as to one"]


@pytest.mark.kafka
def test_on_a_real_broker_what_is_missing_is_found_with_its_cure(
    project: Callable[..., Project], real_kafka: RealKafka
) -> None:
    kafka = real_kafka.kafka()
    topic = kafka.topic(2)
    own = 'dead_letter_topic = "nowhere"\nprocesses = 3\n'
    mine = project(configured(kafka.bootstrap, topic, f"of-{topic}", own=own), CODE)
    kafka.produce(topic, ["a"] * 3, partition=0)
    code, found = told(mine)
    assert code == 1
    assert wrong(found["one"]) == [
        f"dead letters: nowhere does not exist → kafka-topics.sh --bootstrap-server {kafka.bootstrap} "
        "--create --topic nowhere",
        "processes: 3 for 2 partitions: 1 of them has nothing to do → processes = 2, or more partitions",
    ]
    group = of(found["one"], "group")
    assert (group["ok"], group["text"]) == (None, f"of-{topic} has no members: the supervisor does not run it")
    assert of(found["one"], "protocol")["text"] == "KIP-848, the broker decides who gets what: the broker has it"
    assert of(found["one"], "lag")["text"] == "3, and nobody reads"
    assert of(found["one"], "offsets")["text"] == "nothing is committed yet: it begins at the earliest"
    mine.configure(FAST + configured(kafka.bootstrap, topic, f"of-{topic}"))
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child.get("lag") == 0 and len(child["partitions"]) == 2, WITHIN)
        code, found = told(mine)
    assert (code, wrong(found["one"])) == (0, [])
    assert of(found["one"], "group")["text"].startswith(f"of-{topic} is stable: of-{topic}.one@")
    assert of(found["one"], "group")["text"].endswith(" holds 2")
    tls = 'properties = { "security.protocol" = "SSL" }'
    mine.configure(configured(kafka.bootstrap, topic, more=tls))
    _, found = told(mine)
    assert of(found["one"], "broker")["text"].startswith("no trust: ")
    assert "security.protocol what this port speaks?" in of(found["one"], "broker")["fix"]


@pytest.mark.kafka
def test_members_of_another_program_and_lost_records_are_found(
    project: Callable[..., Project], real_kafka: RealKafka, tmp_path: Path
) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    kafka = real_kafka.kafka()
    topic = kafka.topic(1)
    kafka.produce(topic, ["a"] * 5)
    spec = consumer_spec(kafka, topic, group_id=f"of-{topic}", name="other")
    mine = project(configured(kafka.bootstrap, topic, f"of-{topic}"), CODE)
    with Consumer(tmp_path / "other", spec) as member:
        member.wait_got(5)
        member.wait_assigned(1)
        _, found = told(mine)
        group = of(found["one"], "group")
        assert group["ok"] is False
        assert "is stable" in group["text"]
        assert f"1 member of another program: of-{topic}.other@" in group["text"]
        assert member.stop() == 0
    assert kafka.committed(f"of-{topic}", topic) == 5
    kafka.produce(topic, ["b"] * 4)
    admin = AdminClient({**real_kafka.client, "log_level": 2})
    for future in admin.delete_records([TopicPartition(topic, 0, 7)]).values():
        future.result(30)
    _, found = told(mine)
    offsets = of(found["one"], "offsets")
    assert offsets["ok"] is False
    assert offsets["text"] == f"2 records are lost to this group: {topic}:0 begins at 7, committed is 5"


def login(password: str = "app-secret") -> str:
    return (
        '\n    properties = { "security.protocol" = "SASL_PLAINTEXT", "sasl.mechanism" = "SCRAM-SHA-256", '
        f'"sasl.username" = "app", "sasl.password" = "{password}" }}'
    )


@pytest.mark.kafka
def test_a_wrong_password_each_missing_right_and_a_frozen_broker_are_told_apart(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    own = 'dead_letter_topic = "letters"\n'
    (tmp_path / "broker").mkdir()
    with secured(tmp_path / "broker") as server:
        server.create_topic("ones", 1)
        server.create_topic("letters", 1)
        mine = project(configured(server.bootstrap, "ones", more=login("wrong"), own=own), CODE)
        _, found = told(mine)
        broker = of(found["one"], "broker")
        assert broker["text"].startswith("user app is not let in: ")
        assert "wrong" not in str(found)
        mine.configure(configured(server.bootstrap, "ones", more=login(), own=own))
        _, found = told(mine)
        assert of(found["one"], "broker")["text"] == "answers as app, SASL accepted"
        add = f"kafka-acls.sh --bootstrap-server {server.bootstrap} --add --allow-principal User:app --operation "
        assert wrong(found["one"]) == [
            f"topic: ones: no right to read it, or it is not there → {add}Read --topic ones",
            f"dead letters: letters: no right to write it, or it is not there → {add}Write --topic letters",
            f"group: g: no right to read as this group → {add}Read --group g",
        ]
        for kind, name in (("topic", "ones"), ("topic", "letters"), ("group", "g")):
            server.grant(kind, name)
        _, found = told(mine)
        assert f"letters: no right to write it → {add}Write --topic letters" in wrong(found["one"])[0]
        assert of(found["one"], "topic")["text"] == "ones has 1 partition, and may be read"
        with server.frozen():
            begun = time.monotonic()
            code, found = told(mine)
            assert time.monotonic() - begun < BOUND
        assert code == 1
        assert of(found["one"], "address")["ok"] is True
        assert of(found["one"], "broker")["text"].startswith("it gives no answer: ")
        assert "frozen" in of(found["one"], "broker")["fix"]


def test_a_broker_that_cannot_tell_everything_is_not_waited_for(
    embedded_kafka: Kafka, project: Callable[..., Project]
) -> None:
    topic = embedded_kafka.topic(1)
    mine = project(configured(embedded_kafka.bootstrap, topic), CODE)
    begun = time.monotonic()
    code, found = told(mine)
    assert time.monotonic() - begun < BOUND
    assert code == 0
    assert of(found["one"], "topic")["text"] == f"{topic} has 1 partition"
    assert of(found["one"], "group")["text"] == "g: this broker does not tell its members; none of ours"
