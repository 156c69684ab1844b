"""[tasks.NAME], [consumers.NAME], and config.toml as a whole."""

from __future__ import annotations

from typing import Literal

from supervisor.core.config.fields import (
    DAYS,
    Clock,
    Count,
    Cron,
    Delays,
    Duration,
    DurationOrNone,
    Interval,
    Lanes,
    Line,
    Name,
    Once,
    Plain,
    Rate,
    ResourceName,
    Scalar,
    Servers,
    Share,
    Some,
    Target,
    Topic,
    Topics,
    Url,
    Wait,
    Zone,
    duration,
    key,
    required,
)
from supervisor.core.config.models import Alerts, Kafka, Keeping, SchemaRegistry, Supervisor, Table
from supervisor.core.config.moments import Moment, Offset, offset_text
from supervisor.core.spec import ConsumerSettings, Delivery, Format, Overlap, TaskSettings

_T = TaskSettings(run="")
_C = ConsumerSettings(handler="", topics=(), group_id="", auto_offset_reset="error", bootstrap_servers="")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TRIGGERS = ("every", "at", "cron", "once")


class TaskRetry(Table):
    base: Wait = duration(_T.retry_base, "the first wait; it doubles from there")
    max: Wait = duration(_T.retry_max, "the longest wait")


class RecordRetry(Table):
    base: Wait = duration(_C.retry_base, "the first wait; it doubles from there")
    max: Wait = duration(_C.retry_max, "the longest wait")


class LetterLimit(Table):
    ratio: Share = key(_C.letter_ratio, "the share of dead letters among the last `window` records of a partition")
    window: Some = key(_C.letter_window, "so many records are looked at")
    consecutive: Some = key(_C.letter_consecutive, "so many dead letters in a row")


class StartBackoff(Table):
    base: Wait = duration(_C.start_retry_base, "the first wait for a broker that is away; it doubles from there")
    max: Wait = duration(_C.start_retry_max, "the longest wait")


class Task(Keeping):
    """A function that runs on a schedule. Exactly one of every, at, cron, once."""

    enabled: bool = key(True, "the toggle")
    run: Target = required('"module:function", plain or async')
    every: Interval | None = key(None, '"30s": slots on a grid from the Unix epoch on')
    at: Clock | None = key(None, '"03:30" or a list of times of day')
    cron: Cron | None = key(None, "five fields, six with seconds first, or @hourly … @yearly")
    once: Once | None = key(None, "one moment, RFC 3339 with offset")
    on: list[Day] = key([], f"the days for `at`, of {', '.join(DAYS)}; none: every day")
    timezone: Zone | None = key(None, "of `at` and `cron`; default: the supervisor's")
    start: Moment | None = key(None, "no slot before: a date, or a time; without an offset it is in `timezone`")
    end: Moment | None = key(None, "no slot after; of a date, the end of that day")
    align: Literal["epoch", "start"] = key(_T.align, "where the grid of `every` begins: Unix epoch, or `start`")
    offset: Offset = key(_T.offset, "moves that grid; auto: by a share of it made from the name", offset_text)
    jitter: Duration = duration(_T.jitter, "a run begins up to so much later, at random; its slot stays")
    run_on_start: bool = key(_T.run_on_start, "one more run at each start of the process")
    overlap: Overlap = key(
        _T.overlap, "what becomes of a slot that is due while a run goes on; cancel: it ends the run"
    )
    catch_up: Literal["none", "latest", "all"] = key(_T.catch_up, "which slots missed while away are run afterwards")
    catch_up_window: Duration = duration(_T.catch_up_window, "older ones are never caught up")
    catch_up_limit: Some = key(_T.catch_up_limit, "at most so many, with catch_up = all")
    start_deadline: DurationOrNone = duration(_T.start_deadline, "a slot that could not begin so soon is missed")
    expect_within: DurationOrNone = duration(
        _T.expect_within, "no run ended ok so long after a slot: an alert, overdue"
    )
    on_start: Target | None = key(None, '"module:function", is called with the record of a run that begins')
    on_finish: Target | None = key(None, "is called with the record of a run that has ended, however")
    on_missed: Target | None = key(None, "is called with the record of slots that were missed, and why")
    on_overdue: Target | None = key(None, "is called when no run ended ok within expect_within of a slot")
    ping: Url | None = key(None, "a monitor like healthchecks.io: is told when a run begins, is ok, or failed")
    timeout: DurationOrNone = duration(_T.timeout, "of one run; then it is stopped and recorded as timed_out")
    kill_after: Duration = duration(_T.kill_after, "a run that ignores its timeout so long is killed")
    retries: Count = key(_T.retries, "more attempts at the same slot after a failure")
    retry_backoff: TaskRetry = key(TaskRetry(), "the waits between them")
    pause_after_failures: Count = key(_T.pause_after_failures, "failed slots in a row that pause the task; 0: never")
    max_runs: Some | None = key(None, "after so many runs the process is replaced")
    history_keep: Duration = duration(_T.history_keep, "how long runs are remembered")
    history_max: Some = key(_T.history_max, "and how many of them")
    args: dict[str, Plain] = key({}, "keyword arguments of the function")
    demo: bool = key(False, "left out when there is no embedded broker")


class Consumer(Keeping):
    """A function that gets the records of Kafka topics."""

    enabled: bool = key(True, "the toggle")
    handler: Target = required('"module:function"; record or records, resources and ctx by parameter name')
    topics: Topics = required("the topics, one or more")
    group_id: Line = required("the consumer group")
    auto_offset_reset: Literal["earliest", "latest", "error"] = required("where a group without offsets begins")
    bootstrap_servers: Servers | None = key(None, "default: that of [kafka]")
    properties: dict[str, Scalar] = key({}, "any librdkafka property; comes before those of [kafka]")
    delivery: Delivery = key(_C.delivery, "what a crash may do to a record: see Delivery")
    ledger: ResourceName | None = key(None, 'for delivery "ledger": the resource whose database keeps the offsets')
    format: Format = key(_C.format, "of a record's value")
    schema_registry: SchemaRegistry = key(SchemaRegistry(), "default: that of [kafka]")
    filter: Target | None = key(None, '"module:function" of one record; false: it is passed, and counted')
    max_age: DurationOrNone = duration(_C.max_age, "what is older is passed, and counted")
    rate: Rate | None = key(None, '"100/s", "600/m" or "1000/h": at most so many records in each process')
    dead_letter_topic: Topic | None = key(None, "gets what cannot be handled; none: the partition pauses")
    dead_letter_limit: LetterLimit = key(LetterLimit(), "more dead letters pause the partition: they may be a bug")
    retry_topics: Delays = key(
        [],
        '["1m", "10m"]: a failed record waits in TOPIC.retry.1m, then in TOPIC.retry.10m, before it is a dead letter',
    )
    processes: Some = key(_C.processes, "so many members of the group, each a process of its own")
    concurrency: Lanes = key(_C.concurrency, "so many records (or batches) at once in each process: threads, or tasks")
    ordering: Literal["partition", "key"] = key(_C.ordering, "what stays in order when concurrency is above 1")
    batch_size: Some = key(_C.batch_size, "most records in one call of a batch handler")
    retries: Count = key(_C.retries, "in place, before the dead-letter topic")
    retry_backoff: RecordRetry = key(RecordRetry(), "the waits between them")
    handler_timeout: DurationOrNone = duration(_C.handler_timeout, "of one record or batch; then the process is stuck")
    drain_timeout: Duration = duration(_C.drain_timeout, "on a stop, what is in hand may finish")
    close_timeout: Duration = duration(_C.close_timeout, "and then the client may close")
    start_backoff: StartBackoff = key(StartBackoff(), "the waits for a broker that is away")
    stall_after: DurationOrNone = duration(
        _C.stall_after, "a partition stands still so long with records to read: the process is replaced"
    )
    join_after: DurationOrNone = duration(
        _C.join_after, "so long no word of the group, and the broker answers: the process is replaced, once"
    )
    max_runs: Some | None = key(None, "after so many handler calls the process is replaced")


class Document(Table):
    """config.toml of the supervisor."""

    supervisor: Supervisor = key(Supervisor(), "the supervisor itself, and defaults for its children")
    resources: dict[ResourceName, Target] = key(
        {}, 'NAME = "module:factory": opened per run or batch, closed always, handed over by parameter name'
    )
    kafka: Kafka = key(Kafka(), "the cluster")
    tasks: dict[Name, Task] = key({}, "functions that run on a schedule")
    consumers: dict[Name, Consumer] = key({}, "functions that get the records of Kafka topics")
    alerts: Alerts = key(Alerts(), "whom to tell")
