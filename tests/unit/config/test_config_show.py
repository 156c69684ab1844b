from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.config import keys, redact
from supervisor.core.config.load import load
from supervisor.core.config.problems import ConfigError
from supervisor.core.config.show import show
from supervisor.core.spec import ConsumerSettings, Plan, Policy, SupervisorSettings, TaskSettings

FULL = (Path(__file__).parent / "full.toml").read_text()
TASK = '[tasks.a]\nrun = "m:f"\nevery = "30s"\n'
REAL = '[kafka]\nbootstrap_servers = "k:9092"\n'
CONSUMER = '[consumers.c]\nhandler = "m:f"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'


def plan(text: str, **env: str) -> Plan:
    return load(text.encode(), file="config.toml", env=env, project_dir="/project").plan


def essence(found: Plan) -> Plan:
    """Without the digest and the lines, which are those of the text."""
    children = sorted((replace(child, where="") for child in found.children), key=lambda child: child.name)
    return replace(found, digest="", children=tuple(children))


@pytest.mark.parametrize("text", [FULL, TASK, TASK + CONSUMER, REAL + CONSUMER, "[supervisor]\n"])
def test_what_is_shown_reads_back_as_an_equal_plan(text: str) -> None:
    found = plan(text.replace('url = "https://alerts.example/hook"', "").replace(', password = "p"', ""))
    assert essence(plan(show(found))) == essence(found)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))))
def test_arguments_of_any_text_read_back(arguments: dict[str, str]) -> None:
    plain = {key: value for key, value in arguments.items() if redact.value((key,), value) == value}
    found = plan(TASK)
    (child,) = found.children
    assert isinstance(child.settings, TaskSettings)
    found = replace(found, children=(replace(child, settings=replace(child.settings, args=plain)),))
    again = plan(show(found)).children[0].settings
    assert isinstance(again, TaskSettings)
    assert again.args == plain


def test_every_field_of_the_plan_is_a_key_or_follows_from_others() -> None:
    def names(kind: type) -> set[str]:
        return {f.name for f in fields(kind)}

    assert names(Policy) - keys.POLICY.keys() == {"drain_timeout"}
    assert names(TaskSettings) - keys.TASK.keys() == {"resources"}
    assert names(ConsumerSettings) - keys.CONSUMER.keys() == {"resources", "member"}
    supervisor = names(SupervisorSettings) - keys.SUPERVISOR.keys() - keys.ALERTS.keys()
    assert supervisor == {"config_file", "project_dir", "grace_period", "overridden"}


def shown_or_refused(text: str) -> str:
    try:
        return show(plan(text, CANARY="canary"))
    except ConfigError as error:
        return str(error)


SECRETS = f"""
{REAL}
[kafka.properties]
"sasl.username" = "canary"
"sasl.password" = "${{CANARY}}"
"ssl.key.pem" = "canary"
"sasl.mechanism" = "PLAIN"
{TASK}
[tasks.a.args]
dsn = "postgresql://u:canary@db/app"
login = "https://canary@host/"
query = "https://host/?password=canary&x=1"
deep = {{ list = [{{ api_key = "canary" }}], access_token = ["canary"] }}
{CONSUMER}
[alerts]
url = "https://hooks.example/services/canary"
command = ["curl", "--token", "canary", "--password=canary", "-H", "secret: canary"]
"""


def test_no_secret_is_shown() -> None:
    text = show(plan(SECRETS, CANARY="canary"))
    assert "canary" not in text
    assert text.count("(hidden)") >= 10
    assert '"sasl.mechanism" = "PLAIN"' in text
    assert "https://hooks.example/(hidden)" in text


@pytest.mark.parametrize("end", range(0, len(SECRETS), 7))
def test_no_secret_is_in_an_error(end: int) -> None:
    broken = SECRETS[:end] + "\x01" + SECRETS[end:]
    with pytest.raises(ConfigError) as caught:
        plan(broken, CANARY="canary")
    assert "canary" not in str(caught.value)
    assert "canary" not in str([problem.to_json() for problem in caught.value.problems])


@pytest.mark.parametrize("line", [line for line in SECRETS.splitlines() if "canary" in line])
def test_no_secret_is_in_an_error_about_its_own_value(line: str) -> None:
    for wrong in (line.replace(" = ", " = [") + "]", line + " oops", line.replace(" = ", " = 2026-01-01 #")):
        assert "canary" not in shown_or_refused(SECRETS.replace(line, wrong))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://u:p@host/x", "https://host/(hidden)"),
        ("https://host", "https://host"),
    ],
)
def test_of_a_webhook_only_the_host_is_shown(address: str, shown: str) -> None:
    assert redact.url(address) == shown


def test_of_an_environment_what_may_be_a_secret_is_hidden_and_the_rest_is_cut() -> None:
    found = redact.environment(
        {"PATH": "/bin", "DB_PASSWORD": "hunter2", "LONG": "x" * 10_000, "PG": "postgresql://me:hunter2@db/x"}
    )
    assert found["PATH"] == "/bin"
    assert "hunter2" not in str(found)
    assert len(found["LONG"]) == redact.VARIABLE


def test_the_password_of_a_schema_registry_is_not_shown() -> None:
    registry = '[kafka]\nschema_registry = { url = "http://me:canary@registry", user = "me", password = "canary" }\n'
    shown = show(plan(registry + CONSUMER))
    assert "canary" not in shown
    assert 'url = "http://(hidden)@registry"' in shown
