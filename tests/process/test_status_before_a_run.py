"""What `status` knows of a child that never ran: when it would be due, what it would read, and on which broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from support.project import FAST, Project

CONFIG = (
    FAST
    + """
[tasks.tick]
enabled = false
run = "mine:tick"
cron = "0 6 * * *"

[consumers.orders]
enabled = false
handler = "mine:tick"
topics = ["orders", "users"]
group_id = "mine"
auto_offset_reset = "earliest"
"""
)


def test_a_child_that_never_ran_shows_its_schedule_or_its_topics(project: Callable[..., Project]) -> None:
    with project(CONFIG, "def tick(): pass\n").supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.child("tick")["schedule"] == "at 06:00 every day UTC"
        assert supervisor.child("orders")["topics"] == ["orders", "users"]


def test_the_demo_broker_is_told_of_before_it_runs(project: Callable[..., Project]) -> None:
    with project(CONFIG, "def tick(): pass\n").supervisor() as supervisor:
        supervisor.wait_child("broker", lambda broker: True)
        assert supervisor.status()["supervisor"]["demo"] is True
    real = CONFIG + '[kafka]\nbootstrap_servers = "127.0.0.1:9"\n'
    with project(real, "def tick(): pass\n").supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.status()["supervisor"]["demo"] is False


def test_the_next_slot_is_told_as_all_times_are_and_not_of_a_task_that_is_off(project: Callable[..., Project]) -> None:
    config = FAST + '[tasks.tick]\nrun = "mine:tick"\nevery = "1h"\n'
    with project(config, "def tick(): pass\n").supervisor() as supervisor:
        slot = supervisor.wait_child("tick", lambda child: child.get("next_slot"))["next_slot"]
        assert isinstance(slot, str)
        assert slot.endswith(".000Z")
        assert 0 < datetime.fromisoformat(slot).timestamp() - time.time() <= 3600
        assert supervisor.cli("disable", "tick").returncode == 0
        off = supervisor.wait_child("tick", lambda child: child["state"] == "stopped")
        assert off["next_slot"] is None
