"""The tables of config.toml that stand once: [supervisor], [kafka], [alerts]; and what a child shares with them.

Each key has its type, its default (the one of core.spec) and its meaning in one line; the JSON Schema and the
README's table are made from these.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from supervisor.core.config.fields import (
    Duration,
    Interval,
    Line,
    Module,
    Scalar,
    Servers,
    Share,
    Size,
    SizeOrNone,
    Some,
    Url,
    Wait,
    Zone,
    duration,
    key,
    size,
)
from supervisor.core.spec import AlertKind, ConsumerSettings, OnCrashLoop, Policy, SupervisorSettings

_C = ConsumerSettings(handler="", topics=(), group_id="", auto_offset_reset="error", bootstrap_servers="")
_P = Policy()
_S = SupervisorSettings(config_file="", project_dir="", state_dir=".supervisor")


class Table(BaseModel):
    """A table with fixed keys; an unknown one is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Backoff(Table):
    base: Wait = duration(_P.backoff_base, "the second wait; it doubles from there (the first restart is at once)")
    max: Wait = duration(_P.backoff_max, "the longest wait")
    jitter: Share = key(_P.backoff_jitter, "the share of a wait that is drawn at random, 0 to 1")


class Heartbeat(Table):
    interval: Interval = duration(_P.heartbeat_interval, "how often a process says that it lives")
    timeout: Wait = duration(_P.heartbeat_timeout, "silent for so long, it is hung: stacks are taken, it is replaced")


class CrashLoop(Table):
    count: Some = key(_P.crash_loop_count, "so many failures …")
    window: Wait = duration(_P.crash_loop_window, "… within this time are a crash loop")


class Keeping(Table):
    """How a child is kept alive. In [supervisor] for all of them; a child's own keys come before."""

    grace_period: Duration = duration(_P.grace_period, "from SIGTERM to SIGKILL; [supervisor]: of a shutdown")
    stable_after: Duration = duration(_P.stable_after, "healthy for so long: the count of restarts is forgotten")
    backoff: Backoff = key(Backoff(), "the waits between restarts")
    heartbeat: Heartbeat = key(Heartbeat(), "how a hung process is noticed")
    hello_timeout: Wait = duration(_P.hello_timeout, "from the fork to the first sign of life")
    start_timeout: Wait = duration(_P.ready_timeout, "from there until the user's code is imported")
    on_crash_loop: OnCrashLoop = key(
        _P.on_crash_loop, "hold: go on at the longest wait; fatal: give the child up; exit: end the supervisor"
    )
    crash_loop: CrashLoop = key(CrashLoop(), "what counts as a crash loop")
    critical: bool = key(_P.critical, "fatal or in a crash loop, this child ends the supervisor, with exit code 1")
    max_rss: SizeOrNone = size(_P.max_rss, 'resident memory, like "512MiB", above which the process is replaced')
    max_rss_hard: SizeOrNone = size(_P.max_rss_hard, "above this one it is killed at once, and that is a failure")


class Supervisor(Keeping):
    state_dir: Line = key(_S.state_dir, "control socket, logs, history, overrides; relative to the folder of this file")
    timezone: Zone = key("UTC", "of `at` and `cron`, where a task says no other")
    watch: bool = key(_S.watch, "apply changes of this file within a second; otherwise on `supervisor reload`")
    reload_code: bool = key(_S.reload_code, "for development: restart a child when its module's file changes")
    preload: list[Module] = key([], "libraries imported once in the supervisor and shared by all children")
    log_format: Literal["auto", "console", "json"] = key(_S.log_format, "auto: console on a terminal, json elsewhere")
    log_level: Literal["debug", "info", "warning", "error"] = key(_S.log_level, "the least that is logged")
    log_max_bytes: Size = size(_S.log_max_bytes, "a log file of this size is put aside")
    log_keep: Some = key(_S.log_keep, "so many files are kept of each log")
    control_uids: list[int] = key([], "users who may give orders, besides root and the supervisor's own")


class SchemaRegistry(Table):
    url: Url | None = key(None, "of the Schema Registry, for the formats avro, protobuf and json-schema")
    user: Line | None = key(None, "for basic authentication")
    password: Line | None = key(None, "for basic authentication")
    ca: Line | None = key(None, "file with the certificates of its authority")
    timeout: Wait = duration(_C.registry_timeout, "for one answer; without one the consumer waits, and tries again")


class Kafka(Table):
    bootstrap_servers: Servers = key("embedded", '"host:9092,other:9092"; embedded: the demo broker, in memory')
    properties: dict[str, Scalar] = key({}, "any librdkafka property, for every consumer")
    schema_registry: SchemaRegistry = key(SchemaRegistry(), "where the schemas are")


class Alerts(Table):
    url: Url | None = key(None, "gets a POST of JSON when something needs a person")
    command: list[Line] = key([], "is run with the same JSON on its standard input; no shell")
    on: list[AlertKind] = key(list(_S.alert_on), "what is told of")
    overdue_after: Wait = duration(_S.alert_overdue_after, "a child that is wanted and so long not ready is overdue")
