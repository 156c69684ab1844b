"""The task that sends notifications, against a real web server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from support.pipeline import Pipeline, event, pipeline
from support.webhook import Webhook, webhook
from tasks import notifications


@pytest.fixture
def pipe(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    with pipeline(database_url, monkeypatch) as made:
        yield made


@pytest.fixture
def hook(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as server:
        monkeypatch.setenv("NOTIFY_WEBHOOK", server.url)
        yield server


def test_what_waits_is_posted_oldest_first_and_marked_sent(pipe: Pipeline, hook: Webhook) -> None:
    for event_id in ("zebra", "apple", "mango"):
        pipe.store(event(event_id))
    assert pipe.deliver() == {"sent": 3, "failed": 0}
    assert hook.event_ids == ["zebra", "apple", "mango"]
    assert hook.received[0] == event("zebra")
    assert all(row.sent_at for row in pipe.rows())


def test_what_was_sent_is_not_sent_again(pipe: Pipeline, hook: Webhook) -> None:
    pipe.store(event("e1"))
    pipe.deliver()
    assert pipe.deliver() == {"sent": 0, "failed": 0}
    assert hook.event_ids == ["e1"]


def test_one_bad_notification_does_not_stop_the_others(pipe: Pipeline, hook: Webhook) -> None:
    for event_id in ("e1", "bad", "e3"):
        pipe.store(event(event_id))
    hook.answer = lambda body: 422 if body["event_id"] == "bad" else 200
    assert pipe.deliver() == {"sent": 2, "failed": 1}
    sent = {row.event_id: row.sent_at is not None for row in pipe.rows()}
    assert sent == {"e1": True, "bad": False, "e3": True}


def test_a_webhook_that_fails_and_then_works_gets_everything(pipe: Pipeline, hook: Webhook) -> None:
    pipe.store(event("e1"))
    hook.answer = lambda body: 503
    assert pipe.deliver() == {"sent": 0, "failed": 1}
    (row,) = pipe.rows()
    assert (row.attempts, row.sent_at) == (1, None)
    assert "503" in (row.last_error or "")
    hook.answer = lambda body: 200
    assert pipe.deliver() == {"sent": 1, "failed": 0}
    (row,) = pipe.rows()
    assert row.sent_at is not None
    assert row.last_error is None


def test_a_webhook_that_is_not_there_is_a_failed_attempt(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NOTIFY_WEBHOOK", f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/")
        pipe.store(event("e1"))
        assert pipe.deliver() == {"sent": 0, "failed": 1}
    assert "refused" in (pipe.rows()[0].last_error or "")


def test_after_three_attempts_a_row_waits_and_others_go_on(pipe: Pipeline, hook: Webhook) -> None:
    pipe.store(event("bad"))
    hook.answer = lambda body: 500 if body["event_id"] == "bad" else 200
    for _ in range(notifications.PATIENCE):
        assert pipe.deliver()["failed"] == 1
    (row,) = pipe.rows()
    assert row.not_before is not None
    assert row.not_before > datetime.now(UTC)
    pipe.store(event("e2"))
    assert pipe.deliver() == {"sent": 1, "failed": 0}  # the bad one was not tried
    pipe.wait_is_over()
    hook.answer = lambda body: 200
    assert pipe.deliver() == {"sent": 1, "failed": 0}
    assert all(row.sent_at for row in pipe.rows())


def test_the_wait_doubles_up_to_an_hour_and_has_no_end(pipe: Pipeline) -> None:
    pipe.store(event("bad"))
    (row,) = pipe.rows()
    waits = []
    for _ in range(40):
        before = datetime.now(UTC)
        notifications.put_off(row, RuntimeError("no"))
        waits.append(row.not_before - before if row.not_before else timedelta(0))
    minutes = [round(wait / timedelta(minutes=1)) for wait in waits]
    assert minutes[:10] == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert minutes[-1] == 60


def test_one_run_is_bounded_and_the_next_one_goes_on(
    pipe: Pipeline, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "AT_ONCE", 2)
    for number in range(3):
        pipe.store(event(f"e{number}"))
    assert [pipe.deliver()["sent"], pipe.deliver()["sent"]] == [2, 1]
    assert hook.event_ids == ["e0", "e1", "e2"]


def test_a_run_that_is_asked_to_leave_sends_nothing_more(pipe: Pipeline, hook: Webhook) -> None:
    pipe.store(event("e1"))
    assert pipe.deliver(leaving=True) == {"sent": 0, "failed": 0}
    assert hook.received == []


def test_without_a_webhook_the_log_is_the_mailbox(pipe: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    pipe.store(event("e1"))
    with caplog.at_level(logging.INFO):
        assert pipe.deliver() == {"sent": 1, "failed": 0}
    assert "to user user-7: order_shipped: On its way." in caplog.text


def test_no_connection_is_left_after_a_run_that_fails(pipe: Pipeline, hook: Webhook) -> None:
    pipe.store(event("e1"))
    hook.answer = lambda body: 500
    pipe.deliver()
    assert pipe.in_use() == 0


def test_no_transaction_is_open_while_the_webhook_is_waited_for(pipe: Pipeline, hook: Webhook) -> None:
    """A slow receiver must hold neither SQLite's write lock nor PostgreSQL's old rows."""
    pipe.store(event("e1"))
    in_use: list[int] = []

    def answer(body: dict[str, object]) -> int:
        in_use.append(pipe.in_use())
        return 200

    hook.answer = answer
    pipe.deliver()
    assert in_use == [0]
