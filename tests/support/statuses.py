"""A status as /v1/status gives it, at a fixed instant."""

from __future__ import annotations

from typing import Any

from supervisor.logs import stamp

NOW = 1_795_615_361.0  # 2026-11-25T14:02:41Z


def child(name: str, **fields: Any) -> dict[str, Any]:
    """A task that is well, but for `fields`."""
    return {
        "name": name,
        "group": name,
        "kind": "task",
        "state": "running",
        "enabled": True,
        "wanted": True,
        "ready": True,
        "override": None,
        "pid": 4212,
        "since": stamp(NOW - 8040),
        "uptime": 8040.0,
        "restarts": 0,
        "starts": 1,
        "heartbeat_age": 0.7,
        "reason": None,
        "next_try": None,
        "waiting": None,
        "phase": "waiting",
        "phase_age": 1.0,
        "subject": "",
        "rss": 39845888,
        "cpu": 8.04,
        "where": "config.toml:47",
        "last_exit": None,
        "schedule": "every 30s",
        "last_error": None,
        "next_slot": stamp(NOW + 18),
        "last_run": {"state": "ok", "duration": 0.21, "finished": stamp(NOW - 12)},
        **fields,
    }


def down(name: str, **fields: Any) -> dict[str, Any]:
    return child(name, **{"pid": None, "uptime": None, "rss": None, "cpu": None, "ready": False, **fields})


ORDERS = child(
    "orders",
    kind="consumer",
    pid=4211,
    next_slot=None,
    last_run=None,
    heartbeat_age=0.4,
    cpu=96.5,
    rss=63963136,
    schedule="orders, users",
    lag=0,
    records=312,
)
TASK1 = down(
    "task1",
    state="backoff",
    restarts=3,
    schedule="every 5m",
    next_try=stamp(NOW + 8),
    last_error="ConnectionError: db:5432 refused",
    last_exit={"cause": "crash", "reason": "exit code 1", "code": 1, "signal": None, "time": stamp(NOW - 4)},
    last_run={"state": "failed", "duration": 0.03, "finished": stamp(NOW - 4), "error": "ConnectionError"},
)
TASK2 = down(
    "task2",
    state="stopped",
    enabled=False,
    schedule="every 15m",
    override={
        "enabled": False,
        "who": "alice",
        "since": stamp(NOW - 90),
        "until": stamp(NOW + 7200),
        "note": "db migration",
    },
    last_run={"state": "ok", "duration": 3.8, "finished": stamp(NOW - 172800)},
)
ABOUT = {
    "pid": 4210,
    "state": "running",
    "version": "0.1.0",
    "since": stamp(NOW - 8041),
    "uptime": 8041.0,
    "config": {"file": "config.toml", "digest": "", "loaded": stamp(NOW - 8041), "problems": None},
    "run_id": "0" * 32,
    "demo": False,
    "notes": [],
    "stalls": 0,
    "loop_gap": 0.0,
}
STATUS = {"supervisor": ABOUT, "children": [ORDERS, child("notifications"), TASK1, TASK2]}
