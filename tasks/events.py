"""RUNS IN A CHILD: the handler of the consumer [consumers.notification_events]."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from supervisor import Record
from tasks.database import Notification, insert_or_ignore

_FIELDS = ("event_id", "user_id", "event")
_LONGEST = 200  # characters, the columns' width


class BadEvent(ValueError):
    """The record is not a notification event. No retry mends it: after its retries it goes to the dead-letter topic."""


def store(record: Record, db: Session) -> None:
    """Keep one notification per event, however often Kafka delivers it.

    The value: {"event_id": "…", "user_id": "…" or a number, "event": "order_shipped", "content": "…"}.
    """
    row = read_event(record.value)
    insert_or_ignore(db, Notification, {**row, "created_at": datetime.now(UTC), "attempts": 0})
    db.commit()


def read_event(value: Any) -> dict[str, str]:
    """Return the columns of a notification. Raises BadEvent with all that is wrong."""
    if not isinstance(value, dict):
        raise BadEvent(f"expected a JSON object with event_id, user_id, event and content, found {_shown(value)}")
    problems = [problem for name in (*_FIELDS, "content") if (problem := _problem(name, value))]
    if problems:
        raise BadEvent("; ".join(problems))
    return {name: str(value[name]).strip() for name in _FIELDS} | {"content": value["content"]}


def _problem(name: str, value: dict[str, Any]) -> str | None:
    found = value.get(name)
    is_id = name in ("event_id", "user_id") and isinstance(found, int) and not isinstance(found, bool)
    if not is_id and (not isinstance(found, str) or not found.strip()):
        return f"{name}: expected a text, found {_shown(found) if name in value else 'nothing'}"
    text = str(found)
    if "\0" in text:
        return f"{name}: expected a text, found one with a NUL character, which no database column takes"
    if name != "content" and len(text.strip()) > _LONGEST:
        return f"{name}: expected at most {_LONGEST} characters, found {len(text)}"
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
