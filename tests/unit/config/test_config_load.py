from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.core.config.load import Loaded, load
from supervisor.core.config.problems import ConfigError
from supervisor.core.spec import (
    BrokerSettings,
    ConsumerSettings,
    Plan,
    Policy,
    TaskSettings,
    plan_from_json,
    plan_to_json,
)

TASK = '[tasks.a]\nrun = "m:f"\nevery = "30s"\n'
CONSUMER = '[consumers.c]\nhandler = "m:f"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'
REAL = '[kafka]\nbootstrap_servers = "k:9092"\n'
FULL = (Path(__file__).parent / "full.toml").read_bytes()


def loaded(text: str, **env: str) -> Loaded:
    return load(text.encode(), file="config.toml", env=env, project_dir="/project")


def plan(text: str, **env: str) -> Plan:
    return loaded(text, **env).plan


def task(text: str, **env: str) -> TaskSettings:
    settings = plan(text, **env).children[0].settings
    assert isinstance(settings, TaskSettings)
    return settings


def consumers(text: str) -> list[ConsumerSettings]:
    return [c.settings for c in plan(text).children if isinstance(c.settings, ConsumerSettings)]


def said(text: str | bytes, **env: str) -> str:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        load(raw, file="config.toml", env=env, project_dir="/project")
    return str(caught.value)


def outcome(raw: bytes) -> Plan | ConfigError:
    """Any other exception comes through."""
    try:
        return load(raw, file="config.toml", env={}, project_dir="/project").plan
    except ConfigError as error:
        return error


def warnings(text: str) -> list[str]:
    return [warning.render() for warning in loaded(text).warnings]


def test_a_task_needs_only_its_function_and_a_trigger() -> None:
    found = plan(TASK)
    (child,) = found.children
    assert (child.name, child.group, child.kind, child.enabled) == ("a", "a", "task", True)
    assert child.where == "config.toml:1"
    assert child.policy == Policy()
    assert child.settings == TaskSettings(run="m:f", every=30.0)
    assert found.supervisor.config_file == "/project/config.toml"
    assert found.supervisor.state_dir == "/project/.supervisor"


def test_the_digest_is_of_the_bytes() -> None:
    assert plan(TASK).digest != plan(TASK + "\n").digest == plan(TASK + "\n").digest


@pytest.mark.parametrize(
    ("written", "state_dir"), [("/var/lib/x", "/var/lib/x"), ("../state", "/state"), ("./s/", "/project/s")]
)
def test_the_state_folder_is_absolute(written: str, state_dir: str) -> None:
    assert plan(f'[supervisor]\nstate_dir = "{written}"\n{TASK}').supervisor.state_dir == state_dir


def test_a_childs_own_keys_come_before_those_of_the_supervisor_and_these_before_the_defaults() -> None:
    text = (
        '[supervisor]\nbackoff = { base = "2s", jitter = 0.5 }\nmax_rss = "1GiB"\ngrace_period = "20s"\n'
        + TASK
        + 'backoff = { base = "3s" }\nmax_rss = "none"\ncritical = true\nstart_timeout = "2m"\n'
    )
    found = plan(text)
    policy = found.children[0].policy
    assert (policy.backoff_base, policy.backoff_jitter, policy.backoff_max) == (3.0, 0.5, 30.0)
    assert (policy.max_rss, policy.critical, policy.ready_timeout, policy.grace_period) == (None, True, 120.0, 20.0)
    assert found.supervisor.grace_period == 20.0


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ('at = "03:30"', "at", ("03:30",)),
        ('at = ["03:30", "15:00:30"]\non = ["mon", "fri"]', "on", ("mon", "fri")),
        ('cron = "*/15 6-22 * * MON-FRI"', "cron", "*/15 6-22 * * MON-FRI"),
        ('cron = "*/10 * * * * *"', "cron", "*/10 * * * * *"),
        ('cron = "@daily"', "cron", "@daily"),
        ('once = "2027-01-31T09:00:00+01:00"', "once", "2027-01-31T09:00:00+01:00"),
        ("once = 2027-01-31T09:00:00Z", "once", "2027-01-31T09:00:00+00:00"),
        ('every = "30s"\ntimeout = "none"', "timeout", None),
        ('every = "30s"\ntimezone = "Europe/Warsaw"', "timezone", "Europe/Warsaw"),
        ('every = "30s"\nretry_backoff = { max = "1m" }', "retry_max", 60.0),
        (
            'every = "30s"\nargs = { days = 30, deep = { x = [1, true] } }',
            "args",
            {"days": 30, "deep": {"x": [1, True]}},
        ),
        ('every = "30s"\nkill_after = "0s"', "kill_after", 0.0),
    ],
)
def test_a_key_of_a_task_becomes_its_setting(written: str, field: str, value: object) -> None:
    assert getattr(task(f'[tasks.a]\nrun = "m:f"\n{written}\n'), field) == value


def test_a_task_takes_the_zone_of_the_supervisor() -> None:
    assert task(f'[supervisor]\ntimezone = "Europe/Warsaw"\n{TASK}').timezone == "Europe/Warsaw"


def test_resources_go_to_every_child() -> None:
    found = plan(f'[resources]\ndb = "m:session"\n{TASK}{REAL}{CONSUMER}')
    for child in found.children:
        assert isinstance(child.settings, TaskSettings | ConsumerSettings)
        assert child.settings.resources == {"db": "m:session"}


def test_processes_are_members_of_one_group() -> None:
    found = plan(f"{REAL}{CONSUMER}processes = 3\n")
    assert [(c.name, c.group) for c in found.children] == [("c:1", "c"), ("c:2", "c"), ("c:3", "c")]
    assert [(s.member, s.processes) for s in consumers(f"{REAL}{CONSUMER}processes = 3\n")] == [(1, 3), (2, 3), (3, 3)]


def test_one_process_has_the_plain_name() -> None:
    assert [c.name for c in plan(REAL + CONSUMER).children] == ["c"]


def test_a_consumer_has_time_to_drain_and_to_close() -> None:
    (child,) = plan(f'{REAL}{CONSUMER}drain_timeout = "3s"\n').children
    assert child.policy.drain_timeout == 5.0


def test_properties_of_the_consumer_come_before_those_of_kafka() -> None:
    text = f'{REAL}properties = {{ "client.rack" = "a", "check.crcs" = true }}\n{CONSUMER}'
    (settings,) = consumers(f'{text}properties = {{ "client.rack" = "b" }}\n')
    assert settings.properties == {"client.rack": "b", "check.crcs": True}


def test_the_embedded_broker_comes_first_and_has_every_topic() -> None:
    more = CONSUMER.replace("consumers.c", "consumers.d").replace('"t"', '"u"').replace('"g"', '"h"')
    broker, *rest = plan(f'{TASK}{CONSUMER}dead_letter_topic = "t.dlq"\n{more}dead_letter_topic = "t"\n').children
    assert (broker.name, broker.group, broker.kind, broker.enabled) == ("broker", "broker", "broker", True)
    assert broker.settings == BrokerSettings(topics={"t": 4, "t.dlq": 1, "u": 4})
    assert [child.name for child in rest] == ["a", "c", "d"]


def test_the_embedded_broker_has_the_retry_topics() -> None:
    broker, _ = plan(f'{CONSUMER}retry_topics = ["1m", "1h30m"]\n').children
    assert broker.settings == BrokerSettings(topics={"t": 4, "t.retry.1m": 1, "t.retry.1h30m": 1})


def test_a_schema_registry_of_the_consumer_comes_whole_before_that_of_kafka() -> None:
    text = f'{REAL}schema_registry = {{ url = "http://a", user = "u", password = "p" }}\n{CONSUMER}'
    (settings,) = consumers(text)
    assert (settings.registry_url, settings.registry_user) == ("http://a", "u")
    (settings,) = consumers(f'{text}schema_registry = {{ url = "http://b" }}\n')
    assert (settings.registry_url, settings.registry_user) == ("http://b", None)


def test_there_is_no_embedded_broker_without_a_consumer_that_wants_it() -> None:
    assert [c.name for c in plan(TASK).children] == ["a"]
    assert [c.name for c in plan(f'{CONSUMER}bootstrap_servers = "k:9092, [::1]:9093"\n').children] == ["c"]
    assert [c.name for c in plan(f'{REAL}{CONSUMER}bootstrap_servers = "embedded"\n').children] == ["broker", "c"]


def test_a_demo_task_runs_beside_the_embedded_broker_only() -> None:
    assert [c.name for c in plan(f"{TASK}demo = true\n{CONSUMER}").children] == ["broker", "a", "c"]
    found = loaded(f"{TASK}demo = true\n{REAL}{CONSUMER}")
    assert [c.name for c in found.plan.children] == ["c"]
    assert found.notes == ("a is left out: it is a demo, and there is no embedded broker",)
    assert found.warnings == ()


def test_alerts_are_the_supervisors() -> None:
    found = plan(f'{TASK}[alerts]\nurl = "https://hooks.example/x"\ncommand = ["mail", "-s", "alert"]\n').supervisor
    assert (found.alert_url, found.alert_command) == ("https://hooks.example/x", ("mail", "-s", "alert"))


@pytest.mark.parametrize(
    ("written", "env", "value"),
    [
        ("${X}", {"X": "v"}, "v"),
        ("a${X}b${Y}c", {"X": "1", "Y": "2"}, "a1b2c"),
        ("${X:-d}", {}, "d"),
        ("${X:-d}", {"X": ""}, "d"),
        ("${X:-}", {}, ""),
        ("${X}", {"X": ""}, ""),
        ("$${X}", {"X": "v"}, "${X}"),
        ("$$${X}", {"X": "v"}, "$${X}"),
        ("${X}", {"X": "${Y}"}, "${Y}"),
        ("$X {X}", {"X": "v"}, "$X {X}"),
    ],
)
def test_variables_are_filled_in_once(written: str, env: dict[str, str], value: str) -> None:
    assert task(f'{TASK}args = {{ x = ["{written}"] }}\n', **env).args == {"x": [value]}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_variable_may_hold_any_text(value: str) -> None:
    assert task(f'{TASK}args = {{ x = "${{X}}" }}\n', X=value).args == {"x": value}


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = said('[supervisor]\nwach = true\n[tasks.a]\nrun = "x"\nevery = "1"\n[tasks.b]\n[consumers.c]\n')
    lines = [int(line.split(":")[1]) for line in text.splitlines() if line.startswith("config.toml:")]
    assert lines == [2, 4, 5, 6, 6, 7, 7, 7, 7]


def test_a_mistake_in_one_table_does_not_hide_a_contradiction_in_another() -> None:
    text = said(
        f'[supervisor]\nwach = 1\nbackoff = {{ base = "9s" }}\n{TASK}jitter = "31s"\nheartbeat = {{ timeout = "1s" }}\n'
    )
    assert "wach" in text
    assert "tasks.a.jitter" in text
    assert "tasks.a.heartbeat.timeout" in text


def test_a_fault_that_is_inherited_is_told_once() -> None:
    text = said(f'[supervisor]\nbackoff = {{ base = "10s", max = "5s" }}\n{TASK}{TASK.replace("tasks.a", "tasks.b")}')
    assert text.count("expected at least") == 1


def test_more_than_a_hundred_problems_are_counted_only() -> None:
    text = said(TASK + "".join(f"x{i} = 1\n" for i in range(150)))
    assert text.count("unknown key") == 100
    assert text.endswith("config.toml: 50 more problems are not shown")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"# " + b"x" * 1024 * 1024, "config.toml: expected at most 1,048,576 bytes, found more"),
        (
            b"x = " + b"[" * 100_000,
            "config.toml:1: expected at most 16 keys or lists within each other, found far more",
        ),
        (b"[a]\nx = " + b"{a = " * 5000, "config.toml:2: expected at most 16 keys or lists within each other"),
        (b"x = [\n" + b"[" * 5000 + b"\n", "at most 16 keys or lists"),
        (b"x = [\n" + b"9" * 5000 + b"\n]", "config.toml: expected numbers of at most 19 digits"),
        (b"[tasks.a]\nevery = '" + b"9" * 100_000 + b"s'", "…"),
        (b"[a" + b".a" * 100 + b"]\n", "config.toml:1: a.a: expected at most 16"),
        (b"[a" + b".a" * 500_000 + b"]\n", "config.toml:1: expected at most 16"),
        (b"x = 1\n'a' . " + b'"b" . c . ' * 100 + b"d = 1\n", "config.toml:2: expected at most 16"),
    ],
    ids=[
        "too large",
        "lists",
        "tables",
        "lists on two lines",
        "number in a list",
        "long text",
        "deep header",
        "deeper",
        "quoted",
    ],
)
def test_a_hostile_file_is_refused_briefly(source: bytes, words: str) -> None:
    text = said(source)
    assert words in text
    assert len(text) < 1000


def test_lines_are_found_in_a_file_of_many_long_values() -> None:
    rows = "".join(f'  "{i}",\n' for i in range(200))
    assert "config.toml:206: tasks.a.x" in said(f"{TASK}args = {{ x = [\n{rows}] }}\nx = 1\n")


def test_a_file_too_long_to_be_searched_is_refused_without_lines() -> None:
    rows = "".join(f'  "{"x" * 100}{i}",\n' for i in range(2000))
    text = said(f"{TASK}args = {{ x = [\n{rows}] }}\nx = 1\n")
    assert "tasks.a.x: unknown key" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            TASK + 'timeout = "none"\n',
            "config.toml:4: tasks.a.timeout: a task without timeout; a run that never returns",
        ),
        (
            TASK + 'timeout = "1h"\n',
            "1h is more than ten times every (30s); slots that are due while a run goes on are skip",
        ),
        (TASK + 'timeout = "1h"\noverlap = "queue_one"\n', "slots that are due while a run goes on wait, one of them"),
        (TASK + 'timeout = "1h"\noverlap = "cancel"\n', "slots that are due while a run goes on end it"),
        (
            TASK + 'grace_period = "1m"\n',
            "longer than that of [supervisor]; a shutdown of the whole supervisor gives 10s",
        ),
        (
            '[supervisor]\nbackoff = { base = "1m", max = "5m" }\n' + TASK,
            "supervisor.crash_loop: expected a window in which",
        ),
        (REAL + CONSUMER + 'drain_timeout = "9s"\n', "drain_timeout + close_timeout are 11s, grace_period is 10s"),
        (
            CONSUMER + "processes = 6\n",
            "the embedded broker has 4 partitions for each topic; 2 processes will have nothing",
        ),
        (REAL + CONSUMER + CONSUMER.replace(".c]", ".d]"), 'consumers.d.group_id: "g" is the group of c too'),
        (CONSUMER + 'properties = { "session.timeout.ms" = 10000 }\n', "has no place in the group protocol"),
        ("[supervisor]\n", "config.toml: there is no task and no consumer"),
    ],
)
def test_what_is_odd_is_a_warning(text: str, words: str) -> None:
    (warning,) = warnings(text)
    assert words in warning


@pytest.mark.parametrize(
    "login",
    [
        '"sasl.mechanism" = "PLAIN", "sasl.username" = "u", "sasl.password" = "p"',
        '"sasl.mechanisms" = "OAUTHBEARER"',
    ],
)
def test_a_login_that_is_whole_is_taken(login: str) -> None:
    assert warnings(REAL + CONSUMER + f'properties = {{ "security.protocol" = "sasl_ssl", {login} }}\n') == []


def test_the_usual_gives_no_warning() -> None:
    assert warnings(f'{TASK}timeout = "5m"\n{CONSUMER}processes = 4\n') == []
    assert (
        warnings(f'{REAL}properties = {{ "group.protocol" = "classic", "session.timeout.ms" = "9000" }}\n{CONSUMER}')
        == []
    )


def test_a_property_that_is_no_number_is_left_to_the_library() -> None:
    assert warnings(f'{REAL}properties = {{ "max.poll.interval.ms" = "soon" }}\n{CONSUMER}') == []


def test_a_plan_survives_the_way_to_the_parent() -> None:
    found = load(FULL, file="config.toml", env={}, project_dir="/project").plan
    assert plan_from_json(plan_to_json(found)) == found


POSITIONS = st.integers(0, len(FULL) - 1)


@settings(max_examples=300)
@given(POSITIONS, st.binary(max_size=3))
@example(0, b"\x00")
def test_whatever_is_broken_in_a_file_it_gives_a_plan_or_a_config_error(at: int, put: bytes) -> None:
    broken = FULL[:at] + put + FULL[at + 1 :]
    found = outcome(broken)
    assert found.problems if isinstance(found, ConfigError) else found.digest
    assert not set(str(found)) & set("\x00\x1b\x7f\r")


@settings(max_examples=100)
@given(st.lists(st.sampled_from(FULL.splitlines(keepends=True)), max_size=40))
def test_whatever_lines_a_file_has_it_gives_a_plan_or_a_config_error(lines: list[bytes]) -> None:
    found = outcome(b"".join(lines))
    assert found.problems if isinstance(found, ConfigError) else found.digest


def test_half_a_file_is_a_plan_or_a_config_error_and_never_a_plan_of_other_children() -> None:
    names = {c.group for c in load(FULL, file="config.toml", env={}, project_dir="/project").plan.children}
    for end in itertools.chain(range(0, len(FULL), 13), [len(FULL)]):
        found = outcome(FULL[:end])
        assert isinstance(found, ConfigError) or {c.group for c in found.children} <= names
