"""The tasks that clean up and count, and the demo's events, on SQLite and on PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from support.pipeline import Pipeline, pipeline
from tasks import maintenance
from tasks.database import Report
from tasks.demo import sample
from tasks.events import read_event

NOW = datetime.now(UTC)


@pytest.fixture
def pipe(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    with pipeline(database_url, monkeypatch) as made:
        yield made


def reports(pipe: Pipeline) -> list[Report]:
    with pipe.session() as db:
        return list(db.scalars(sa.select(Report).order_by(Report.id)))


def test_cleanup_deletes_what_was_sent_long_ago_and_nothing_else(pipe: Pipeline) -> None:
    pipe.add("long ago", sent_at=NOW - timedelta(days=31))
    pipe.add("lately", sent_at=NOW - timedelta(days=29))
    pipe.add("old but never sent", created_at=NOW - timedelta(days=90))
    with pipe.session() as db:
        assert maintenance.cleanup(db, days=30) == {"notifications": 1, "reports": 0}
    assert [row.event_id for row in pipe.rows()] == ["lately", "old but never sent"]


def test_cleanup_works_in_batches_until_nothing_is_left(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 2)
    for number in range(5):
        pipe.add(f"e{number}", sent_at=NOW - timedelta(days=60))
    with pipe.session() as db:
        assert maintenance.cleanup(db)["notifications"] == 5
        assert maintenance.cleanup(db)["notifications"] == 0
    assert pipe.rows() == []


def test_a_report_is_a_row_and_a_line(pipe: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    pipe.add("sent", sent_at=NOW)
    pipe.add("waiting")
    pipe.add("failing", attempts=2)
    with caplog.at_level(logging.INFO), pipe.session() as db:
        assert maintenance.report(db) == {"waiting": 2, "failing": 1, "sent": 1}
    (row,) = reports(pipe)
    assert (row.waiting, row.failing, row.sent) == (2, 1, 1)
    assert abs(row.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert "2 waiting (1 of them failed before), 1 sent" in caplog.text


def test_a_report_of_an_empty_database_counts_nothing(pipe: Pipeline) -> None:
    with pipe.session() as db:
        assert maintenance.report(db) == {"waiting": 0, "failing": 0, "sent": 0}


def test_cleanup_deletes_old_reports_too(pipe: Pipeline) -> None:
    with pipe.session() as db:
        db.add(Report(at=NOW - timedelta(days=31), waiting=0, failing=0, sent=0))
        db.add(Report(at=NOW, waiting=1, failing=0, sent=0))
        db.commit()
        assert maintenance.cleanup(db)["reports"] == 1
    assert [row.waiting for row in reports(pipe)] == [1]


def test_no_connection_is_left_after_a_run(pipe: Pipeline) -> None:
    with pipe.session() as db:
        maintenance.cleanup(db)
    with pipe.session() as db:
        maintenance.report(db)
    assert pipe.in_use() == 0


def test_the_demo_makes_events_that_the_consumer_takes() -> None:
    made = [sample() for _ in range(20)]
    assert [read_event(event) for event in made] == made
    assert len({event["event_id"] for event in made}) == 20
