"""What `supervisor kafka doctor` makes of what a broker says, where no broker in a test says it."""

from __future__ import annotations

from typing import Any

from supervisor.cli.checks.apart import Answer
from supervisor.cli.checks.kafka import About, judge
from supervisor.core.spec import ConsumerSettings

ALL = ["DESCRIBE", "READ", "WRITE"]


def about(members: Any = (), **settings: Any) -> About:
    chosen = {"handler": "m:f", "topics": ("t",), "group_id": "g", "auto_offset_reset": "earliest"}
    return About("one", ConsumerSettings(bootstrap_servers="b:9092", **{**chosen, **settings}), "b:9092", members)


def said(**more: Any) -> dict[str, Any]:
    group = {"state": "STABLE", "type": "CONSUMER", "may": ALL, "members": [member()]}
    row = {"topic": "t", "partition": 0, "low": 0, "high": 5, "committed": 5}
    healthy = {"addresses": [("b:9092", "")], "new_groups": True, "topics": {"t": {"partitions": 1, "may": ALL}}}
    return {**healthy, "group": group, "offsets": [row], "letters": None, "ahead": None, **more}


def member(client: str = "g.one@host") -> dict[str, Any]:
    return {"client": client, "host": "10.0.0.7", "partitions": [["t", 0]]}


def row(**more: Any) -> dict[str, Any]:
    return {**said()["offsets"][0], **more}


def found(name: str, asked: About, facts: dict[str, Any]) -> Answer:
    (answer,) = [answer for title, answer in judge(asked, facts) if title == name]
    return answer


def test_a_healthy_consumer_has_nothing_wrong() -> None:
    assert [answer.text for _, answer in judge(about(), said()) if answer.ok is False] == []
    assert found("group", about(), said()).text == "g is stable: g.one@host holds 1"


def test_a_member_whose_name_only_begins_alike_is_another_program() -> None:
    facts = said()
    facts["group"]["members"] = [member(), member("g.one:2@host"), member("g.oneself@host")]
    answer = found("group", about(), facts)
    assert answer.ok is False
    assert "1 member of another program: g.oneself@host on 10.0.0.7" in answer.text
    mine = about(properties={"client.id": "g.oneself@host"})
    assert found("group", mine, facts).ok is True


def test_a_group_of_the_other_protocol_is_named_with_the_reason() -> None:
    facts = said()
    facts["group"]["type"] = "CLASSIC"
    answer = found("protocol", about(), facts)
    assert answer.ok is False
    assert answer.text == "the group is classic, this consumer would join as consumer (the broker has it)"
    chosen = found("protocol", about(properties={"group.protocol": "classic"}), facts)
    assert (chosen.ok, chosen.text) == (True, "classic, a member decides: group.protocol says so")
    old = found("protocol", about(), {**facts, "new_groups": False})
    assert (old.ok, old.text) == (True, "classic, a member decides: this broker has no groups of KIP-848")


def test_offsets_outside_of_the_log_are_told_with_numbers() -> None:
    lost = found("offsets", about(), said(offsets=[row(low=9, high=12, committed=5)]))
    assert lost.ok is False
    assert lost.text == "4 records are lost to this group: t:0 begins at 9, committed is 5"
    beyond = found("offsets", about(), said(offsets=[row(committed=8)]))
    assert beyond.ok is False
    assert beyond.text == "t:0 ends at 5, committed is 8: another topic?"
    assert found("offsets", about(), said(offsets=[row(), row(partition=1, committed=None)])).text == (
        "committed within what the topic holds; t:1 not yet"
    )


def test_a_lag_that_moves_is_no_problem_and_one_that_is_held_is() -> None:
    assert found("lag", about(), said(offsets=[row(committed=2, later=3)])).text == "3, and it goes on"
    still = found("lag", about(), said(offsets=[row(committed=2, later=2)]))
    assert (still.ok, still.text) == (None, "3, and no offset moved while this looked")
    held = about([{"name": "one", "partitions": [{"topic": "t", "partition": 0, "paused": True}]}])
    answer = found("lag", held, said(offsets=[row(committed=2, later=2)]))
    assert (answer.ok, answer.text) == (False, "3; t:0 is held")
    assert answer.fix == "supervisor kafka lag one says why"


def test_a_group_without_members_is_a_problem_only_while_the_supervisor_runs_it() -> None:
    facts = said()
    facts["group"]["members"] = []
    assert found("group", about(), facts).ok is None
    assert found("group", about([{"name": "one", "partitions": []}]), facts).ok is False


def test_rights_that_the_broker_does_not_grant_are_named_one_by_one() -> None:
    facts = said(topics={"t": {"partitions": 1, "may": ["DESCRIBE"]}, "d": {"partitions": 1, "may": ["DESCRIBE"]}})
    facts["group"]["may"] = ["DESCRIBE"]
    asked = about(dead_letter_topic="d", properties={"sasl.username": "app"})
    wrong = {title: answer for title, answer in judge(asked, facts) if answer.ok is False}
    acl = "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:app --operation "
    assert wrong["topic"].fix == f"{acl}Read --topic t"
    assert wrong["dead letters"].fix == f"{acl}Write --topic d"
    assert wrong["group"].fix == f"{acl}Read --group g"


def test_a_record_from_the_future_and_a_broker_that_breaks_off_are_told() -> None:
    answer = found("clock", about(), said(ahead="t:0 at 4"))
    assert answer.ok is False
    assert "t:0 at 4 is from the future" in answer.text
    broken = [answer for title, answer in judge(about(), said(stopped="timed out")) if title == "broker"]
    assert [answer.ok for answer in broken] == [True, False]


def test_a_certificate_that_is_not_trusted_is_told_as_that() -> None:
    answer = found("broker", about(), {"addresses": [("b:9092", "")], "refused": "SSL handshake failed: unknown CA"})
    assert answer.ok is False
    assert answer.text == "no trust: SSL handshake failed: unknown CA"
    assert "ssl.ca.location" in answer.fix


def test_properties_that_do_not_go_together_are_told_as_such() -> None:
    why = "Failed to create consumer: `receive.message.max.bytes` must be >= `fetch.max.bytes` + 512"
    answer = found("broker", about(), {"addresses": [("b:9092", "")], "refused": why})
    assert (answer.ok, answer.text, answer.fix) == (False, why, "properties of [kafka], or of the consumer")
