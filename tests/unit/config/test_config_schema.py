from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.config.document import Document
from supervisor.core.config.reference import reference
from supervisor.core.config.schema import schema, text

ROOT = Path(__file__).parents[3]


def test_the_schema_file_is_fresh() -> None:
    """Else: supervisor config schema > supervisor.schema.json"""
    assert json.loads((ROOT / "supervisor.schema.json").read_text()) == schema()
    assert json.loads(text()) == schema()


def every(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [inner for each in value for inner in every(each)]
    return [value, *(inner for each in value.values() for inner in every(each))] if isinstance(value, dict) else []


def test_editors_are_told_of_every_key_what_it_means() -> None:
    tables = [table for table in every(schema()) if isinstance(table.get("properties"), dict) and "type" in table]
    assert len(tables) > 8
    for table in tables:
        for name, key in table["properties"].items():
            assert key.get("description"), name
        assert table["additionalProperties"] is False


def test_defaults_are_written_as_in_the_file() -> None:
    task = schema()["$defs"]["Task"]["properties"]
    assert (task["timeout"]["default"], task["grace_period"]["default"], task["max_rss"]["default"]) == (
        "1h",
        "10s",
        "none",
    )
    assert not [key for key in every(schema()) if key.get("type") == "null"]


def test_a_task_has_exactly_one_trigger_in_the_schema_too() -> None:
    assert schema()["$defs"]["Task"]["oneOf"] == [{"required": [key]} for key in ("every", "at", "cron", "once")]


@pytest.mark.parametrize("table", ["supervisor", "kafka", "alerts", "tasks", "consumers"])
def test_the_reference_has_a_row_for_every_key(table: str) -> None:
    kind = {"tasks": "Task", "consumers": "Consumer"}.get(table, table.capitalize())
    rows = {line.split("`")[1].split(".")[0] for line in reference().splitlines() if line.startswith("| `")}
    assert rows >= schema()["$defs"][kind]["properties"].keys()


def test_the_reference_says_defaults_and_choices() -> None:
    lines = reference().splitlines()
    assert '| `backoff.max` | `"30s"` | the longest wait |' in lines
    assert '| `run` | *required* | "module:function", plain or async |' in lines
    assert any(
        line.startswith("| `overlap` |") and line.endswith(". `skip` · `queue_one` · `cancel` |") for line in lines
    )
    assert [line for line in lines if line.startswith("**`[")] == [
        line for name in Document.model_fields for line in lines if line.startswith(f"**`[{name}")
    ]


def test_the_reference_is_printed_by_running_its_module(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "supervisor/core/config/reference.py"), run_name="__main__")
    assert capsys.readouterr().out == reference()
