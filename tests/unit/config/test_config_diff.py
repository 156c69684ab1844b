from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.core.config.diff import Change, diff
from supervisor.core.config.load import load
from supervisor.core.spec import Plan

TASK = '[tasks.a]\nrun = "m:f"\nevery = "30s"\n'
REAL = '[kafka]\nbootstrap_servers = "k:9092"\n'
CONSUMER = '[consumers.c]\nhandler = "m:f"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'
FULL = (Path(__file__).parent / "full.toml").read_text()


def plan(text: str) -> Plan:
    return load(text.encode(), file="config.toml", env={}, project_dir="/project").plan


def changes(old: str, new: str) -> list[tuple[str, str, str]]:
    return [(c.kind, c.name, c.what) for c in diff(plan(old), plan(new))]


def test_equal_plans_have_no_difference() -> None:
    assert changes(FULL, FULL) == []


def test_comments_and_the_order_of_tables_are_no_difference() -> None:
    other = TASK.replace("tasks.a", "tasks.b")
    assert changes(TASK + other, f"# moved\n\n{other}{TASK}") == []


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (TASK + "enabled = false\n", ("toggle", "a", "disabled")),
        (TASK.replace("30s", "1m"), ("restart", "a", "every 30s → 1m")),
        (TASK + 'timeout = "none"\n', ("restart", "a", "timeout 1h → none")),
        (TASK + 'grace_period = "5s"\n', ("update", "a", "grace_period 10s → 5s")),
        (TASK + 'backoff = { base = "2s" }\n', ("update", "a", "backoff.base 1s → 2s")),
        (TASK + 'max_rss = "1GiB"\n', ("update", "a", "max_rss none → 1GiB")),
        (TASK + 'heartbeat = { interval = "2s" }\n', ("restart", "a", "heartbeat.interval 1s → 2s")),
        (TASK + "critical = true\n", ("update", "a", "critical false → true")),
        (TASK + "critical = true\nenabled = false\n", ("toggle", "a", "disabled, critical false → true")),
        (TASK + "retries = 1\nenabled = false\n", ("restart", "a", "disabled, retries 0 → 1")),
        (TASK + "args = { days = 3 }\n", ("restart", "a", "args.days none → 3")),
        (TASK + '[resources]\ndb = "m:s"\n', ("restart", "a", "resources.db none → m:s")),
        (
            TASK.replace("every", "cron").replace("30s", "@daily"),
            ("restart", "a", "every 30s → none, cron none → @daily"),
        ),
        (TASK + 'args = { x = "' + "y" * 99 + '" }\n', ("restart", "a", f"args.x none → {'y' * 40}…")),
        (TASK + 'args = { "\\u001b" = "\\u001b" }\n', ("restart", "a", r"args.\x1b none → \x1b")),
    ],
)
def test_a_change_of_a_task_is_told_in_words(new: str, change: tuple[str, str, str]) -> None:
    assert changes(TASK, new) == [change]


def test_a_task_that_is_enabled_again_is_a_toggle() -> None:
    assert changes(TASK + "enabled = false\n", TASK) == [("toggle", "a", "enabled")]


def test_what_goes_comes_before_what_comes() -> None:
    daily = '[tasks.z]\nrun = "m:f"\nat = ["03:30", "04:30"]\nenabled = false\n'
    assert changes(TASK, REAL + CONSUMER + daily) == [
        ("remove", "a", ""),
        ("add", "z", "new task, at 03:30 04:30, disabled"),
        ("add", "c", "new consumer, topics t"),
    ]


@pytest.mark.parametrize(
    ("topics", "what"),
    [
        ('["t", "u"]', "topics +u"),
        ('["u"]', "topics +u −t"),
    ],
)
def test_lists_are_told_by_what_came_and_went(topics: str, what: str) -> None:
    assert changes(REAL + CONSUMER, REAL + CONSUMER.replace('["t"]', topics)) == [("restart", "c", what)]


def test_a_list_in_another_order_is_a_difference() -> None:
    two = CONSUMER.replace('["t"]', '["t", "u"]')
    assert changes(REAL + two, REAL + two.replace('"t", "u"', '"u", "t"')) == [
        ("restart", "c", "topics in another order")
    ]


def test_one_more_process_of_several_restarts_no_other() -> None:
    assert changes(f"{REAL}{CONSUMER}processes = 2\n", f"{REAL}{CONSUMER}processes = 3\n") == [
        ("update", "c:1", "processes 2 → 3"),
        ("update", "c:2", "processes 2 → 3"),
        ("add", "c:3", "new consumer, topics t"),
    ]


def test_the_embedded_broker_comes_and_goes_with_its_consumers() -> None:
    assert changes(TASK, TASK + CONSUMER) == [("add", "broker", "new broker"), ("add", "c", "new consumer, topics t")]


def test_another_topic_is_made_by_the_embedded_broker_that_runs() -> None:
    other = CONSUMER.replace("consumers.c", "consumers.d").replace('"t"', '"u"') + 'dead_letter_topic = "u.dlq"\n'
    assert changes(CONSUMER, CONSUMER + other) == [
        ("update", "broker", "topics.u none → 4, topics.u.dlq none → 1"),
        ("add", "d", "new consumer, topics u"),
    ]


def test_a_task_that_becomes_a_consumer_of_that_name_is_restarted_as_one() -> None:
    assert changes(TASK, REAL + CONSUMER.replace(".c]", ".a]"))[0][:2] == ("restart", "a")
    assert changes(TASK, REAL + CONSUMER.replace(".c]", ".a]"))[0][2].startswith("task → consumer")


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (
            'state_dir = "x"',
            ("supervisor", "state_dir /project/.supervisor → /project/x: in force after the next start"),
        ),
        ('preload = ["x"]', ("supervisor", "preload none → ['x']: in force after the next start")),
        ("watch = false", ("update", "watch true → false")),
        ('log_max_bytes = "1MiB"', ("update", "log_max_bytes 10MiB → 1MiB")),
    ],
)
def test_changes_of_the_supervisor_say_when_they_are_in_force(new: str, change: tuple[str, str]) -> None:
    ((kind, name, what),) = changes(TASK, f"[supervisor]\n{new}\n{TASK}")
    assert (kind, name) == (change[0], "supervisor")
    assert what.startswith(change[1])


def test_secrets_are_named_and_not_shown() -> None:
    old = f'{REAL}properties = {{ "sasl.password" = "old-canary", "ssl.key.pem" = "x" }}\n{CONSUMER}'
    new = (
        old.replace("old", "new").replace('"x"', '"new-canary"')
        + '[alerts]\nurl = "https://x/canary"\ncommand = ["canary"]\n'
    )
    found = changes(old, new)
    assert ("restart", "c", "properties.sasl.password changed, properties.ssl.key.pem changed") in found
    assert ("update", "supervisor", "alerts.url changed, alerts.command changed") in found
    assert "canary" not in str(found)


def test_a_change_goes_over_the_socket_in_the_words_of_the_reply() -> None:
    assert Change(kind="add", name="a", what="new").to_json() == {"change": "add", "name": "a", "what": "new"}
