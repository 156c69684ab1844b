"""What a valid configuration comes down to: plain frozen data that parent and children read.

config.toml is validated (pydantic, in core/config) only in short-lived processes; what crosses into the
parent is this, as JSON. So the parent imports no validator, and a plan is compared by equality.
Durations are seconds; zones, times of day and dates stay text, the child that needs them parses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal["task", "consumer", "broker"]
OnCrashLoop = Literal["hold", "fatal", "exit"]
AlertKind = Literal[
    "fatal",
    "crash_loop",
    "overdue",
    "dead_letter",
    "partition_paused",
    "partition_stalled",
    "not_joined",
    "fenced",
    "task_paused",
    "unkillable",
    "recovered",
]
Overlap = Literal["skip", "queue_one", "cancel"]
Format = Literal["json", "text", "bytes", "avro", "protobuf", "json-schema"]
Delivery = Literal["at_least_once", "at_most_once", "ledger", "transactional"]
SCHEMAS = ("avro", "protobuf", "json-schema")  # formats that need a Schema Registry
ALERT_KINDS: tuple[AlertKind, ...] = get_args(AlertKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the parent keeps one child alive."""

    grace_period: float = 10.0  # SIGTERM to SIGKILL
    # a planned change waits so long for the run or records in hand; None: their own timeout ends them
    drain_timeout: float | None = None
    stable_after: float = 60.0  # healthy this long: the restart count is forgotten
    backoff_base: float = 1.0
    backoff_max: float = 30.0
    backoff_jitter: float = 0.2  # the share of a wait that is drawn at random, 0 to 1
    hello_timeout: float = 15.0  # fork to first frame: a deadlock in somebody's at-fork hook
    ready_timeout: float = 60.0  # first frame to READY: user code is being imported
    heartbeat_interval: float = 1.0
    heartbeat_timeout: float = 20.0  # shorter ones kill processes that are merely starved of CPU
    on_crash_loop: OnCrashLoop = "hold"
    crash_loop_count: int = 10
    crash_loop_window: float = 600.0
    critical: bool = False
    max_rss: int | None = None  # bytes; above it the process is drained and replaced, uncounted
    max_rss_hard: int | None = None  # bytes; above it the process is killed at once, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """[tasks.NAME]: one function and when it runs. Exactly one of every, at, cron, once is set."""

    run: str  # "module:function"
    every: float | None = None
    at: tuple[str, ...] = ()  # "HH:MM" or "HH:MM:SS", in `timezone`
    cron: str | None = None  # 5 fields, 6 with seconds first, or an @alias
    once: str | None = None  # RFC 3339
    on: tuple[str, ...] = ()  # "mon".."sun", with `at` only; empty: every day
    timezone: str = "UTC"
    start: str | None = None  # no slot before; RFC 3339, or a date in `timezone`
    end: str | None = None  # no slot after; a date is the last day
    align: Literal["epoch", "start"] = "epoch"  # where the grid of `every` is anchored
    offset: float = 0.0  # of that grid
    jitter: float = 0.0
    run_on_start: bool = False
    overlap: Overlap = "skip"
    catch_up: Literal["none", "latest", "all"] = "latest"
    catch_up_window: float = 3600.0
    catch_up_limit: int = 10
    start_deadline: float | None = None
    expect_within: float | None = None  # no run ok so long after a slot: an alert
    on_start: str | None = None  # "module:function", called with the record of a run
    on_finish: str | None = None
    on_missed: str | None = None  # with the record of slots that were missed
    on_overdue: str | None = None  # called in a helper
    ping: str | None = None  # URL of a monitor that is told of begin and end (healthchecks.io's protocol)
    timeout: float | None = 3600.0
    kill_after: float = 10.0  # soft timeout to the parent's verdict
    retries: int = 0
    retry_base: float = 2.0
    retry_max: float = 30.0
    pause_after_failures: int = 0  # 0: never
    max_runs: int | None = None  # then the process is replaced, uncounted
    history_keep: float = 30 * 86400.0
    history_max: int = 10_000
    args: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)  # parameter name -> "module:factory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """[consumers.NAME], one member of it: `member` of `processes`, 1-based."""

    handler: str
    topics: tuple[str, ...]
    group_id: str
    auto_offset_reset: Literal["earliest", "latest", "error"]
    bootstrap_servers: str  # "embedded": the address is read from the state folder (Paths.broker)
    properties: Mapping[str, Any] = field(default_factory=dict)  # librdkafka's, [kafka] and the consumer's own merged
    delivery: Delivery = "at_least_once"
    ledger: str | None = None  # the resource whose database keeps the offsets, for delivery "ledger"
    format: Format = "json"
    registry_url: str | None = None  # of the Schema Registry, for avro, protobuf and json-schema
    registry_user: str | None = None
    registry_password: str | None = None
    registry_ca: str | None = None  # file
    registry_timeout: float = 5.0
    filter: str | None = None  # "module:function": false, and the record is passed and counted
    max_age: float | None = None  # what is older is passed and counted
    rate: str | None = None  # "100/s", of one process
    dead_letter_topic: str | None = None
    letter_ratio: float = 0.2  # of the last `letter_window` records of a partition: more are not believed
    letter_window: int = 500
    letter_consecutive: int = 50
    retry_topics: tuple[float, ...] = ()  # seconds: a failed record waits so long in a topic of its own
    concurrency: int = 1  # so many records or batches in hand at once, each in a lane
    ordering: Literal["partition", "key"] = "partition"  # what stays in order among lanes
    member: int = 1
    processes: int = 1
    batch_size: int = 500  # most records handed to a batch handler at once
    retries: int = 3  # in place, before the dead-letter topic
    retry_base: float = 0.2
    retry_max: float = 5.0
    handler_timeout: float | None = 300.0  # one record or one batch; the budget of phase "handling"
    drain_timeout: float = 6.0  # on stop: what is in hand may finish
    close_timeout: float = 2.0
    start_retry_base: float = 1.0
    start_retry_max: float = 30.0
    stall_after: float | None = 120.0  # longer than the client's socket timeout: a broker that hangs is no stall
    join_after: float | None = 360.0  # longer than a rebalance may take: the others' max.poll.interval.ms
    max_runs: int | None = None
    resources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The embedded demo broker: librdkafka's mock cluster, in memory."""

    topics: Mapping[str, int] = field(default_factory=dict)  # name -> partitions


Settings = TaskSettings | ConsumerSettings | BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child: a named thing that is kept alive."""

    name: str  # "notifications"; members of a consumer are "orders:1", "orders:2"
    group: str  # the name in config.toml, which toggles and commands go by: "orders"
    kind: Kind
    enabled: bool
    policy: Policy
    settings: Settings
    where: str = ""  # "config.toml:47", for people
    when: str = ""  # of a task, for people: "every 30s"; the validator puts it into words, so the parent need not


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """[supervisor], resolved: absolute paths, seconds."""

    config_file: str
    project_dir: str  # the folder of config.toml: sys.path[0] of every child
    state_dir: str
    grace_period: float = 10.0  # the one deadline of a shutdown
    watch: bool = True
    reload_code: bool = False  # development: restart a child when its module's file changes
    preload: tuple[str, ...] = ()
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_max_bytes: int = 10 * 1024 * 1024
    log_keep: int = 3
    control_uids: tuple[int, ...] = ()  # besides root and the supervisor's own
    alert_url: str | None = None
    alert_command: tuple[str, ...] = ()
    alert_on: tuple[AlertKind, ...] = ALERT_KINDS
    alert_overdue_after: float = 300.0  # a child that is wanted and so long not ready is overdue
    overridden: Mapping[str, Any] = field(default_factory=dict)  # fields that the command line says, at every reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that config.toml says, validated."""

    supervisor: SupervisorSettings
    children: tuple[ChildSpec, ...]
    digest: str = ""  # of the file's bytes, so that people can tell which text is in force


_SETTINGS: dict[str, type[Settings]] = {"task": TaskSettings, "consumer": ConsumerSettings, "broker": BrokerSettings}


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return JSON values only; `plan_from_json` gives an equal plan back."""
    return asdict(plan)


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    children = tuple(_child(child) for child in data["children"])
    return Plan(supervisor=_build(SupervisorSettings, data["supervisor"]), children=children, digest=data["digest"])


def override(plan: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan (as JSON) with what the command line says instead of the file."""
    return {**plan, "supervisor": {**plan["supervisor"], **said, "overridden": dict(said)}}


def _child(data: Mapping[str, Any]) -> ChildSpec:
    settings = _build(_SETTINGS[data["kind"]], data["settings"])
    return ChildSpec(**{**data, "policy": _build(Policy, data["policy"]), "settings": settings})


def _build(kind: type[Any], data: Mapping[str, Any]) -> Any:
    """JSON has no tuples: a list becomes one, so that equal plans compare equal."""
    names = {f.name for f in fields(kind)}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in names})
