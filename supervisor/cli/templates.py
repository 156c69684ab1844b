"""RUNS IN THE USER'S TERMINAL: the texts of a new project. All of it is the user's from then on."""

from __future__ import annotations

CONFIG = """\
# One file, and the truth. Look it over: supervisor check.   Durations: "500ms" "30s" "5m" "1h30m".
# ${{NAME}} and ${{NAME:-default}} come from the environment.   Saved changes apply within a second.

[kafka]
bootstrap_servers = "${{KAFKA_BOOTSTRAP:-embedded}}"  # "embedded": a demo broker in memory; a real one: "host:9092"

{task}
{consumer}"""

TASK_SECTION = """\
[tasks.{name}]
enabled = true                      # false stops it, and it stays off
run = "tasks.{module}:run"
every = "30s"                       # or: at = ["07:30"], cron = "*/15 6-22 * * mon-fri", once = "2030-01-01T00:00:00Z"
timeout = "5m"
"""

CONSUMER_SECTION = """\
[consumers.{name}]
enabled = true                      # false stops it, and it stays off
handler = "tasks.{module}:handle"
topics = ["{name}"]
group_id = "{name}"
auto_offset_reset = "earliest"
"""

TASK = '''\
"""The task [tasks.{name}] of config.toml: runs in a process of its own."""

import logging

log = logging.getLogger(__name__)


def run() -> dict[str, int]:
    """Do the work of one run. What it returns is kept in the history: supervisor history {name}"""
    log.info("hello from {name}")
    return {{"done": 1}}
'''

CONSUMER = '''\
"""The handler of [consumers.{name}] in config.toml: a record is done when it returns; what it raises is retried."""

import logging

from supervisor import Record

log = logging.getLogger(__name__)


def handle(record: Record) -> None:
    """Handle one record. It may come again after a crash: `record.id` is the same then."""
    log.info("got %r from %s", record.value, record.id)
'''

PACKAGE = '"""What the supervisor runs, each in a process of its own."""\n'

TASK_TEST = '''\
"""The task [tasks.{name}], called as the supervisor calls it."""

from tasks import {module}


def test_{module}_does_its_work() -> None:
    assert {module}.run() == {{"done": 1}}
'''

CONSUMER_TEST = '''\
"""The handler of [consumers.{name}], called with a record as from Kafka, and run as in production."""

from typing import Any

from supervisor import Record
from tasks import {module}


def test_{module}_takes_a_record() -> None:
    {module}.handle(Record(value={{"hello": "world"}}, topic="{name}", offset=7))


def test_{module}_is_done_with_its_records(run_consumer: Any) -> None:
    """In a process of its own, with a broker for this test: what was handled, retried, given up, committed."""
    outcome = run_consumer("{name}", [{{"hello": "world"}}, "no JSON"])
    assert [record.value for record in outcome.handled] == [{{"hello": "world"}}]
    assert outcome.held  # without a dead_letter_topic its partition stands still at what is no JSON
'''

APP = '''\
"""A web application: uvicorn app:app. The supervisor starts with it, once, however many web processes there are."""

from fastapi import Depends, FastAPI

from supervisor.fastapi import healthy, lifespan, router

app = FastAPI(lifespan=lifespan("config.toml"))
app.include_router(router())  # GET /background/health, GET /background/status


@app.get("/", dependencies=[Depends(healthy("hello"))])
def index() -> dict[str, str]:
    """Answer 503 while the task [tasks.hello] is unhealthy."""
    return {"hello": "world"}
'''

IGNORE = ".supervisor/\n__pycache__/\n"
