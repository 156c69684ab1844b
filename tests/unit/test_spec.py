"""The plan as data: what the command line says instead of the file."""

from __future__ import annotations

from supervisor.core.spec import Plan, SupervisorSettings, override, plan_from_json, plan_to_json

PLAN = Plan(
    supervisor=SupervisorSettings(config_file="/p/config.toml", project_dir="/p", state_dir="/p/s"), children=()
)


def test_what_the_command_line_says_stands_in_the_plan_and_is_remembered() -> None:
    said = {"reload_code": True, "log_format": "json"}
    found = plan_from_json(override(plan_to_json(PLAN), said)).supervisor
    assert (found.reload_code, found.log_format) == (True, "json")
    assert found.overridden == said


def test_a_file_that_is_read_again_gives_an_equal_plan_once_the_same_is_said() -> None:
    said = {"reload_code": True}
    before = plan_from_json(override(plan_to_json(PLAN), said))
    assert plan_from_json(override(plan_to_json(PLAN), before.supervisor.overridden)) == before
