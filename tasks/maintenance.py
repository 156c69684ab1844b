"""RUNS IN A CHILD: the tasks [tasks.cleanup] and [tasks.report]."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.database import Notification, Report

BATCH = 500  # rows of one DELETE: other writers get their turn between two

log = logging.getLogger(__name__)


def cleanup(db: Session, days: float = 30) -> dict[str, int]:
    """Delete what was sent more than `days` ago, and old reports. What was never sent stays."""
    before = datetime.now(UTC) - timedelta(days=days)
    counts = {
        "notifications": _delete(db, Notification, Notification.sent_at < before),
        "reports": _delete(db, Report, Report.at < before),
    }
    if any(counts.values()):
        log.info("deleted %(notifications)d notifications, %(reports)d reports", counts)
    return counts


def _delete(db: Session, table: type[Notification] | type[Report], which: sa.ColumnElement[bool]) -> int:
    deleted = 0
    while True:
        ids = list(db.scalars(sa.select(table.id).where(which).order_by(table.id).limit(BATCH)))
        db.execute(sa.delete(table).where(table.id.in_(ids)))
        db.commit()
        deleted += len(ids)
        if len(ids) < BATCH:
            return deleted


def report(db: Session) -> dict[str, int]:
    """Count what waits, what keeps failing, what was sent: one log line, one row."""
    unsent = Notification.sent_at.is_(None)
    waiting, failing, sent = db.execute(
        sa.select(
            sa.func.count().filter(unsent),
            sa.func.count().filter(unsent, Notification.attempts > 0),
            sa.func.count().filter(~unsent),
        ).select_from(Notification)
    ).one()
    db.add(Report(at=datetime.now(UTC), waiting=waiting, failing=failing, sent=sent))
    db.commit()
    log.info("%d waiting (%d of them failed before), %d sent", waiting, failing, sent)
    return {"waiting": waiting, "failing": failing, "sent": sent}
