from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.config import load
from supervisor.core.spec import plan_from_json
from supervisor.helper import librdkafka, read_config

TASK = '[tasks.a]\nrun = "{module}:{function}"\nevery = "30s"\n'
CONSUMER = (
    '[kafka]\nbootstrap_servers = "k:9092"\n'
    '[consumers.c]\nhandler = "{module}:{function}"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'
)
CODE = """
from supervisor.core.kafka.record import Record

print("said while it is imported")

def run(): ...
def with_ctx(ctx, db): ...
def with_days(days): ...
def store(record, db): ...
def store_many(batch: list[Record], ctx): ...
def no_record(ctx): ...
def unknown(what): ...
def generator():
    yield
def session():
    yield 1
def takes_one(x): ...
def takes_none(): ...
async def later(record): ...
VALUE = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of its own; what is imported from it is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    (tmp_path / "mine.py").write_text(textwrap.dedent(CODE))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def read(folder: Path, text: str, **options: Any) -> dict[str, Any]:
    file = folder / "config.toml"
    file.write_text(text)
    return read_config.read(str(file), {}, **options)


def rendered(found: dict[str, Any]) -> str:
    assert not found["ok"]
    assert found["plan"] is None
    return "\n".join(problem["rendered"] for problem in found["problems"])


def task(function: str, module: str = "mine", more: str = "") -> str:
    return TASK.format(module=module, function=function) + more


def consumer(function: str, module: str = "mine", more: str = "") -> str:
    return CONSUMER.format(module=module, function=function) + more


def test_a_good_configuration_gives_its_plan(folder: Path) -> None:
    found = read(folder, task("run"))
    assert (found["ok"], found["problems"], found["warnings"], found["notes"]) == (True, [], [], [])
    plan = plan_from_json(found["plan"])
    assert plan == load.load(task("run").encode(), file="config.toml", env={}, project_dir=str(folder)).plan
    assert plan.supervisor.config_file == str(folder / "config.toml")


def test_a_file_elsewhere_is_named_in_full(folder: Path) -> None:
    (folder / "inner").mkdir()
    os.chdir(folder / "inner")
    assert rendered(read(folder, "x = 1\n")).startswith(f"{folder}/config.toml:1: x: unknown key")


@pytest.mark.parametrize(
    "text",
    [
        task("run"),
        task("with_ctx", more='[resources]\ndb = "mine:session"\n'),
        task("with_days", more="args = { days = 3 }\n"),
        consumer("store", more='[resources]\ndb = "mine:session"\n'),
        consumer("store_many"),
        consumer("store_many") + 'filter = "mine:takes_one"\n',
    ],
)
def test_what_a_child_could_call_is_fine(folder: Path, text: str) -> None:
    assert read(folder, text)["problems"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (task("rum"), 'config.toml:2: tasks.a.run: module mine (mine.py) has no "rum"; did you mean "run"?'),
        (task("run", module="mime"), 'config.toml:2: tasks.a.run: there is no module "mime"; did you mean "mine"?'),
        (task("VALUE"), "tasks.a.run: expected a function, found an int"),
        (task("unknown"), 'tasks.a.run: parameter "what" is neither a resource nor one of ctx'),
        (task("generator"), 'tasks.a.run: mine:generator contains "yield"'),
        (task("run", more="args = { days = 3 }\n"), 'tasks.a.run: mine:run has no parameter "days"'),
        (consumer("no_record"), 'consumers.c.handler: expected a parameter "record"'),
        (
            consumer("store_many") + 'filter = "mine:takes_nine"\n',
            'config.toml:8: consumers.c.filter: module mine (mine.py) has no "takes_nine"; did you mean "takes_none"?',
        ),
        (consumer("store_many") + 'filter = "mine:takes_none"\n', "consumers.c.filter: expected a function of one"),
        (consumer("store_many") + 'filter = "mine:later"\n', "consumers.c.filter: expected a plain function"),
        (
            task("with_ctx", more='[resources]\ndb = "mine:sesion"\n'),
            "config.toml:5: resources.db: module mine (mine.py) has",
        ),
        (
            task("with_ctx", more='[resources]\ndb = "mine:takes_one"\n'),
            "resources.db: mine:takes_one is called without",
        ),
    ],
)
def test_what_a_child_could_not_call_is_refused(folder: Path, text: str, words: str) -> None:
    assert words in rendered(read(folder, text))


def test_targets_are_left_alone_when_asked(folder: Path) -> None:
    assert read(folder, task("rum"), check_targets=False)["ok"]
    assert "mine" not in sys.modules


def test_a_fault_of_a_disabled_child_is_a_warning(folder: Path) -> None:
    found = read(folder, task("rum", more="enabled = false\n") + consumer("no_record", more="enabled = false\n"))
    assert found["ok"]
    assert [warning["key"] for warning in found["warnings"]] == ["tasks.a.run", "consumers.c.handler"]


def test_a_module_that_fails_for_now_is_a_warning(folder: Path) -> None:
    (folder / "away.py").write_text("raise ConnectionError('database is away')\n")
    found = read(folder, task("run", module="away"))
    assert found["ok"]
    assert "importing away raised ConnectionError: database is away" in found["warnings"][0]["text"]


def test_a_module_that_exits_does_not_end_the_check(folder: Path) -> None:
    (folder / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    assert read(folder, task("run", module="leaves"))["ok"]


def test_a_resource_that_fails_is_told_once(folder: Path) -> None:
    two = task("with_ctx") + task("with_ctx").replace("tasks.a", "tasks.b")
    found = read(folder, f'{two}[resources]\ndb = "mine:nothing"\n')
    assert [problem["key"] for problem in found["problems"]] == ["resources.db"]


def test_what_user_code_prints_is_no_output_of_ours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(folder, task("run"))["ok"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "said while it is imported" in captured.err


def test_the_shipped_example_has_no_problem_and_no_warning() -> None:
    root = Path(__file__).parents[3]
    found = read_config.read(str(root / "config.toml"), {}, check_targets=False)
    assert (found["problems"], found["warnings"], found["notes"]) == ([], [], [])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: None, "config.toml: expected a file, found nothing; write one, or name it with --config FILE"),
        (lambda file: file.mkdir(), "config.toml: expected a file, found a folder"),
        (lambda file: os.mkfifo(file), "config.toml: expected a file, found something that is no plain file"),
        (lambda file: file.symlink_to(file), "config.toml: expected a file to read, found Too many levels of symbolic"),
    ],
    ids=["missing", "folder", "fifo", "loop"],
)
def test_what_is_no_file_is_refused(folder: Path, make: Any, words: str) -> None:
    make(folder / "config.toml")
    assert rendered(read_config.read("config.toml", {})).startswith(words)


def test_no_more_than_a_mebibyte_is_read(folder: Path) -> None:
    with open(folder / "config.toml", "wb") as file:
        file.truncate(1 << 40)
    assert "expected at most 1,048,576 bytes" in rendered(read_config.read("config.toml", {}))


@pytest.mark.parametrize(("mode", "place"), [(0o666, "the file"), (0o646, "the file")])
def test_a_file_that_everyone_may_write_is_refused(folder: Path, mode: int, place: str) -> None:
    (folder / "config.toml").write_text(task("run"))
    (folder / "config.toml").chmod(mode)
    assert f"found {place} writable by everyone; who writes here decides what is run" in rendered(
        read_config.read("config.toml", {})
    )


def test_a_folder_that_everyone_may_write_is_refused(folder: Path) -> None:
    folder.chmod(0o777)
    assert "found its folder writable by everyone" in rendered(read(folder, task("run")))
    folder.chmod(0o1777)
    assert read(folder, task("run"))["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_or_group_is_a_warning(folder: Path) -> None:
    read(folder, task("run"))
    os.chown(folder / "config.toml", 12345, 0)
    (warning,) = read_config.read("config.toml", {})["warnings"]
    assert warning["text"] == "the file belongs to another user (uid 12345), who thereby decides what is run here"
    os.chown(folder / "config.toml", 0, 12345)
    (folder / "config.toml").chmod(0o660)
    (warning,) = read_config.read("config.toml", {})["warnings"]
    assert warning["text"] == "the file is writable by the group 12345, whose members decide what is run here"


def test_librdkafka_says_which_properties_it_has_and_what_it_takes() -> None:
    library = librdkafka.installed()
    assert library is not None
    assert library.names >= {"session.timeout.ms", "sasl.password", "security.protocol", "auto.offset.reset"}
    assert library.refusal("session.timeout.ms", "6000") is None
    assert library.refusal("session.timeout.ms", "0") == "1 .. 3600000"
    assert library.refusal("security.protocol", "tls") == "one of plaintext, ssl, sasl_plaintext, sasl_ssl"
    assert library.refusal("check.crcs", "maybe") == "one of true, false"


def test_properties_are_tried_on_librdkafka(folder: Path) -> None:
    properties = 'properties = { "sesion.timeout.ms" = 1, "client.rack" = "r", "max.poll.interval.ms" = -1 }\n'
    text = rendered(read(folder, consumer("store_many", more=properties)))
    assert '"sesion.timeout.ms": librdkafka has no such property, did you mean "session.timeout.ms"?' in text
    assert '"max.poll.interval.ms": expected 1 .. 86400000, found -1' in text
    assert "client.rack" not in text.replace(properties.strip(), "")
