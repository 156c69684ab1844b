"""The handler of the shipped consumer, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pipeline import Pipeline, event, pipeline
from tasks import database
from tasks.events import BadEvent, read_event

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pipe(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    with pipeline(database_url, monkeypatch) as made:
        yield made


def test_an_event_becomes_one_unsent_notification(pipe: Pipeline) -> None:
    pipe.store(event("e1", user_id=42, content="Grüße 👋"))
    (row,) = pipe.rows()
    assert (row.event_id, row.user_id, row.event, row.content) == ("e1", "42", "order_shipped", "Grüße 👋")
    assert row.sent_at is None
    assert row.attempts == 0
    assert row.created_at.utcoffset() is not None


def test_an_event_that_is_delivered_again_is_stored_once(pipe: Pipeline) -> None:
    for _ in range(3):
        pipe.store(event("e1"))
    pipe.store(event("e2"))
    assert [row.event_id for row in pipe.rows()] == ["e1", "e2"]


def test_a_redelivered_event_does_not_send_a_sent_one_again(pipe: Pipeline) -> None:
    pipe.store(event("e1"))
    pipe.deliver()
    pipe.store(event("e1", content="other words"))
    assert pipe.deliver() == {"sent": 0, "failed": 0}
    assert [row.content for row in pipe.rows()] == ["On its way."]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "expected a JSON object"),
        ("text", "expected a JSON object"),
        ([event("e1")], "expected a JSON object"),
        ({}, "event_id: expected a text, found nothing; user_id:"),
        (event("  "), "event_id: expected a text, found '  '"),
        (event("e1", user_id=None), "user_id: expected a text, found None"),
        (event("e1", user_id=True), "user_id: expected a text, found True"),
        (event("e1", event=5), "event: expected a text, found 5"),
        (event("e1", content={"a": 1}), "content: expected a text, found {'a': 1}"),
        (event("e1", content="a\0b"), "content: expected a text, found one with a NUL"),
        (event("x" * 201), "event_id: expected at most 200 characters, found 201"),
    ],
)
def test_a_bad_event_is_refused_with_all_that_is_wrong(value: object, says: str) -> None:
    with pytest.raises(BadEvent) as caught:
        read_event(value)
    assert says in str(caught.value)


def test_a_bad_event_stores_nothing_and_the_next_one_is_stored(pipe: Pipeline) -> None:
    with pytest.raises(BadEvent):
        pipe.store(event("e1", content=None))
    pipe.store(event("e2"))
    assert [row.event_id for row in pipe.rows()] == ["e2"]


def test_no_connection_is_kept_by_a_session_on_any_path(pipe: Pipeline) -> None:
    pipe.store(event("e1"))
    assert pipe.in_use() == 0
    with pytest.raises(BadEvent):
        pipe.store("not an event")
    assert pipe.in_use() == 0
    with pytest.raises(RuntimeError, match="thrown in"):
        throw_into_the_resource()
    assert pipe.in_use() == 0


def throw_into_the_resource() -> None:
    """As the supervisor does with the exception of a run, in the middle of a transaction."""
    factory = database.session()
    next(factory).execute(database.sa.select(database.Notification))
    factory.throw(RuntimeError("thrown in"))  # type: ignore[attr-defined]


def test_what_was_not_committed_is_rolled_back(pipe: Pipeline) -> None:
    with pipe.session() as db:
        database.insert_or_ignore(
            db, database.Notification, {**event("e1"), "created_at": database.datetime.now(database.UTC)}
        )
    assert pipe.rows() == []


def test_each_session_is_a_fresh_one(pipe: Pipeline) -> None:
    with pipe.session() as first, pipe.session() as second:
        assert first is not second


def test_two_consumers_that_store_the_same_event_at_once_store_it_once(pipe: Pipeline) -> None:
    pipe.rows()  # the tables are there
    assert pipe.at_once(4, lambda: [pipe.store(event(f"e{number}")) for number in range(10)]) == []
    assert sorted(row.event_id for row in pipe.rows()) == [f"e{number}" for number in range(10)]


def test_processes_that_start_together_make_the_tables_together(database_url: str) -> None:
    code = "from tasks import database; next(database.session()).execute(database.sa.select(database.Notification))"
    environment = {**os.environ, "DATABASE_URL": database_url}
    command = [sys.executable, "-W", "ignore", "-c", code]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert [code for _, code in ended] == [0] * 4, ended


def test_without_a_url_the_database_is_a_file_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("FORKWARDEN_STATE_DIR", str(tmp_path / "state"))
    assert database.url() == f"sqlite:///{tmp_path}/state/app.db"
    monkeypatch.delenv("FORKWARDEN_STATE_DIR")
    assert database.url() == f"sqlite:///{ROOT}/.supervisor/app.db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_the_usual_url_of_postgresql_is_enough(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://me:secret@db/app")
    assert database.url() == "postgresql+psycopg://me:secret@db/app"
