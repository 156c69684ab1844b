"""RUNS IN A CHILD: the task [tasks.notifications], every 30 seconds.

Delivers what waits, oldest first. A notification that cannot be delivered waits longer and longer, and holds up
nobody. At least once: a process that dies between the delivery and the commit delivers that one again; the
receiver knows it by its event_id.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import urllib.request
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from supervisor import Context
from tasks.database import Notification

AT_ONCE = 200  # rows of one run: a run stays short, the next one goes on
PATIENCE = 3  # attempts, one a run, before a row has to wait
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
ANSWER_WITHIN = 10.0  # seconds for the webhook

log = logging.getLogger(__name__)


async def deliver(db: Session, ctx: Context) -> dict[str, int]:
    """Send every notification that is due. Each is committed by itself, so what was sent stays sent."""
    counts = {"sent": 0, "failed": 0}
    for notification in due(db):
        if ctx.should_stop():
            break
        try:
            await send(notification)
        except Exception as error:
            put_off(notification, error)
            counts["failed"] += 1
        else:
            notification.sent_at = datetime.now(UTC)
            notification.last_error = None
            counts["sent"] += 1
        db.commit()
    if any(counts.values()):
        log.info("%(sent)d sent, %(failed)d failed", counts)
    return counts


def due(db: Session) -> list[Notification]:
    now = datetime.now(UTC)
    ready = sa.or_(Notification.not_before.is_(None), Notification.not_before <= now)
    unsent = sa.select(Notification).where(Notification.sent_at.is_(None), ready)
    rows = list(db.scalars(unsent.order_by(Notification.id).limit(AT_ONCE)))
    db.commit()  # no transaction stays open while the network is waited for
    return rows


async def send(notification: Notification) -> None:
    """POST to NOTIFY_WEBHOOK; without one, the log is the mailbox. Raises when it was not accepted."""
    webhook = os.environ.get("NOTIFY_WEBHOOK")
    if not webhook:
        log.info("to user %s: %s: %s", notification.user_id, notification.event, notification.content)
        return
    names = ("event_id", "user_id", "event", "content")
    body = json.dumps({name: getattr(notification, name) for name in names}).encode()
    await asyncio.to_thread(_post, webhook, body)


def put_off(notification: Notification, error: Exception) -> None:
    """Count the attempt; from the third on the row waits 1, 2, 4 … 60 minutes. It is never given up."""
    notification.attempts += 1
    notification.last_error = f"{type(error).__name__}: {error}"[:1000]
    beyond = notification.attempts - PATIENCE
    if beyond >= 0:
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(beyond, 10))
        notification.not_before = datetime.now(UTC) + wait
    log.warning("%s not sent, attempt %d: %s", notification.event_id, notification.attempts, notification.last_error)


def _post(webhook: str, body: bytes) -> None:
    request = urllib.request.Request(webhook, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as response:
        response.read()
