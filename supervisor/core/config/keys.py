"""Which key of config.toml is which field of core.spec; and how a field's value is written.

One table for making a plan, for showing one, and for naming what differs between two. No validator is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor.core import durations

Keys = Mapping[str, tuple[str, ...]]  # field -> path within the table


def _keys(*same: str, **other: str) -> Keys:
    return {field: (field,) for field in same} | {field: tuple(path.split(".")) for field, path in other.items()}


POLICY: Keys = _keys(
    "grace_period",
    "stable_after",
    "hello_timeout",
    "on_crash_loop",
    "critical",
    "max_rss",
    "max_rss_hard",
    backoff_base="backoff.base",
    backoff_max="backoff.max",
    backoff_jitter="backoff.jitter",
    heartbeat_interval="heartbeat.interval",
    heartbeat_timeout="heartbeat.timeout",
    ready_timeout="start_timeout",
    crash_loop_count="crash_loop.count",
    crash_loop_window="crash_loop.window",
)
SUPERVISOR: Keys = _keys(
    "state_dir",
    "watch",
    "reload_code",
    "preload",
    "log_format",
    "log_level",
    "log_max_bytes",
    "log_keep",
    "control_uids",
)
ALERTS: Keys = _keys(alert_url="url", alert_command="command", alert_on="on", alert_overdue_after="overdue_after")
TASK: Keys = _keys(
    *("run", "every", "at", "cron", "once", "on", "timezone", "start", "end", "align", "offset"),
    *("jitter", "run_on_start", "overlap"),
    *("catch_up", "catch_up_window", "catch_up_limit", "start_deadline", "expect_within", "ping", "timeout"),
    *("kill_after", "on_start", "on_finish", "on_missed", "on_overdue"),
    *("retries", "pause_after_failures", "max_runs", "history_keep", "history_max", "args"),
    retry_base="retry_backoff.base",
    retry_max="retry_backoff.max",
)
CONSUMER: Keys = _keys(
    *("handler", "topics", "group_id", "auto_offset_reset", "bootstrap_servers", "properties", "format"),
    *("dead_letter_topic", "processes", "batch_size", "retries", "handler_timeout", "drain_timeout", "close_timeout"),
    *("max_runs", "filter", "max_age", "rate", "retry_topics", "concurrency", "ordering", "delivery", "ledger"),
    *("stall_after", "join_after"),
    registry_url="schema_registry.url",
    registry_user="schema_registry.user",
    registry_password="schema_registry.password",
    registry_ca="schema_registry.ca",
    registry_timeout="schema_registry.timeout",
    letter_ratio="dead_letter_limit.ratio",
    letter_window="dead_letter_limit.window",
    letter_consecutive="dead_letter_limit.consecutive",
    retry_base="retry_backoff.base",
    retry_max="retry_backoff.max",
    start_retry_base="start_backoff.base",
    start_retry_max="start_backoff.max",
)
SETTINGS: Mapping[str, Keys] = {"task": TASK, "consumer": CONSUMER}

_DURATIONS = frozenset(
    [
        *("grace_period", "stable_after", "backoff_base", "backoff_max", "hello_timeout", "ready_timeout"),
        *("heartbeat_interval", "heartbeat_timeout", "crash_loop_window", "every", "jitter", "catch_up_window"),
        *("alert_overdue_after", "expect_within", "offset"),
        *("start_deadline", "timeout", "kill_after", "retry_base", "retry_max", "history_keep", "handler_timeout"),
        *("drain_timeout", "close_timeout", "start_retry_base", "start_retry_max", "max_age", "registry_timeout"),
        *("retry_topics", "stall_after", "join_after"),
    ]
)
_SIZES = frozenset(("max_rss", "max_rss_hard", "log_max_bytes"))
_NONE = frozenset(
    (
        *("start_deadline", "expect_within", "timeout", "handler_timeout", "max_age", "max_rss", "max_rss_hard"),
        *("stall_after", "join_after"),
    )
)  # where "none" may be written
_UNITS = (("GiB", 2**30), ("GB", 10**9), ("MiB", 2**20), ("MB", 10**6), ("KiB", 2**10), ("KB", 10**3), ("B", 1))
FACTORS = dict(_UNITS)


def written(field: str, value: Any) -> Any:
    """Return a field's value as config.toml has it; None when it is written by leaving the key out."""
    if value is None:
        return "none" if field in _NONE else None
    if field in _DURATIONS:
        return [durations.text(each) for each in value] if isinstance(value, tuple) else durations.text(value)
    if field in _SIZES:
        return size_text(value)
    return list(value) if isinstance(value, tuple) else value


def size_text(size: int) -> str:
    """Return the shortest exact writing of a number of bytes above 0.

    >>> size_text(512 * 1024 * 1024), size_text(1001)
    ('512MiB', '1001B')
    """
    unit, factor = next((unit, factor) for unit, factor in _UNITS if size % factor == 0)
    return f"{size // factor}{unit}"
