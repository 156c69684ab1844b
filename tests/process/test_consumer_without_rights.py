"""A wrong password or a missing right is named; when it is mended the consumer goes on by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.core.wire import page
from supervisor.helper.evict import evict
from support.forked import call
from support.kafka import WITHIN, Consumer, consumer_spec
from support.secured_kafka import SecuredKafka

pytestmark = pytest.mark.kafka


def test_a_wrong_password_is_named_and_no_crash(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    spec = consumer_spec(secured_kafka.kafka(), "any", properties=secured_kafka.as_user("app", "wrong"))
    with Consumer(tmp_path, spec) as member:
        assert "invalid credentials" in member.wait_waiting("Authentication failed")
        assert "wrong" not in member.log, "the password is not shown"
        assert member.stop() == 0


def test_over_tls_records_are_handled_and_a_dead_member_is_put_out(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    over_tls, kafka = secured_kafka.over_tls(), secured_kafka.kafka()
    topic = kafka.topic()
    kafka.produce(topic, [1, 2])
    for kind, name in (("topic", topic), ("group", f"g-{topic}")):
        secured_kafka.grant(kind, name)
    spec = consumer_spec(kafka, topic, group_id=f"g-{topic}", properties=over_tls)
    where = f"127.0.0.1:{secured_kafka.tls_port}"
    with Consumer(tmp_path, replace(spec, settings=replace(spec.settings, bootstrap_servers=where))) as member:
        assert member.wait_got(2) == [1, 2]
        member.wait_facts(lambda facts: facts.get("member"), WITHIN)
        member.kill()
        member.exit_code()
        dead = page.read_member(member.page)
    assert call(evict, where, over_tls, f"g-{topic}", dead, 20.0) == "evicted"
    untrusted = {key: value for key, value in over_tls.items() if key != "ssl.ca.location"}
    assert call(evict, where, untrusted, f"g-{topic}", dead, 2.0).startswith("failed")


def test_each_missing_right_is_named_until_it_is_granted(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    kafka = secured_kafka.kafka()
    topic = kafka.topic()
    kafka.produce(topic, [1])
    spec = consumer_spec(kafka, topic, group_id=f"g-{topic}")
    with Consumer(tmp_path, spec) as member:
        assert f'topic "{topic}": grant READ' in member.wait_waiting("no right to read topic")
        secured_kafka.grant("topic", topic)
        member.wait_waiting(f'no right to read as group "g-{topic}": grant READ on the group')
        secured_kafka.grant("group", f"g-{topic}")
        assert member.wait_got(1) == [1]
        member.wait_facts(lambda facts: facts["waiting"] is None and facts.get("member"), WITHIN)
        member.kill()
        member.exit_code()
        dead = page.read_member(member.page)
    assert call(evict, kafka.bootstrap, secured_kafka.as_user("app"), f"g-{topic}", dead, 20.0) == "evicted"
    assert "GroupAuthorization" in call(evict, kafka.bootstrap, secured_kafka.as_user("app"), "other", dead, 20.0)
