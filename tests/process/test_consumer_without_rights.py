"""A wrong password or a missing right is named; when it is mended the consumer goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.core.wire import page
from supervisor.helper.evict import evict
from support.forked import call
from support.kafka import WITHIN, Consumer, consumer_spec
from support.real_kafka import why_not
from support.secured_kafka import SecuredKafka

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    if reason := why_not():
        pytest.skip(reason)
    server = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        yield server
    finally:
        server.stop()


def test_a_wrong_password_is_named_and_no_crash(secured: SecuredKafka, tmp_path: Path) -> None:
    spec = consumer_spec(secured.kafka(), "any", properties=secured.as_user("app", "wrong"))
    with Consumer(tmp_path, spec) as member:
        assert "invalid credentials" in member.wait_waiting("Authentication failed")
        assert "wrong" not in member.log, "the password is not shown"
        assert member.stop() == 0


def test_each_missing_right_is_named_until_it_is_granted(secured: SecuredKafka, tmp_path: Path) -> None:
    kafka = secured.kafka()
    topic = kafka.topic()
    kafka.produce(topic, [1])
    spec = consumer_spec(kafka, topic, group_id=f"g-{topic}")
    with Consumer(tmp_path, spec) as member:
        assert f'topic "{topic}": grant READ' in member.wait_waiting("no right to read topic")
        secured.grant("topic", topic)
        member.wait_waiting(f'no right to read as group "g-{topic}": grant READ on the group')
        secured.grant("group", f"g-{topic}")
        assert member.wait_got(1) == [1]
        member.wait_facts(lambda facts: facts["waiting"] is None and facts.get("member"), WITHIN)
        member.kill()
        member.exit_code()
        dead = page.read_member(member.page)
    assert call(evict, kafka.bootstrap, secured.as_user("app"), f"g-{topic}", dead, 20.0) == "evicted"
    assert "GroupAuthorization" in call(evict, kafka.bootstrap, secured.as_user("app"), "other", dead, 20.0)
