"""The house rules that a machine can hold: layers, owners, sizes, words, and that the texts for people are true."""

from __future__ import annotations

import fnmatch
import statistics
import subprocess
import sys
import tomllib
from collections import Counter

import pytest

from support.house import ROOT, Import, Module, is_third_party, modules, words

# Folders say which process runs the code; this is what each may know of the others.
MAY_IMPORT = {
    "core": {"core"},
    "logs": {"core"},
    "client": {"core"},
    "forked": set(),
    "console": set(),
    "librdkafka": set(),
    "plain": set(),
    "parent": {"core", "logs", "console", "forked", "parent", "helper"},
    "child": {"core", "logs", "console", "forked", "librdkafka", "plain", "child"},
    "helper": {"core", "logs", "forked", "librdkafka", "helper"},
    "cli": {"core", "logs", "console", "client", "plain", "cli"},
    "fastapi": {"core", "client", "fastapi"},
    "testing": {"core", "child", "client", "logs"},
    "testing_kafka": {"core", "child", "client", "forked", "helper", "testing_kafka"},
    "pytest_plugin": {"testing_kafka"},
    "schedule": {"child"},
    "__init__": {""},
    "__main__": {"cli"},
}
# One door each, with its reason. "file: room", and for the core "file: library".
DOORS = {
    "supervisor/parent/around.py: child": "the fork target, and what a process is born with",
    "supervisor/helper/targets.py: child": "whether a target loads is tried by the child's own loader",
    "supervisor/cli/report.py: helper": "start and check read config.toml in their own process",
    "supervisor/cli/local.py: child": "a run without a supervisor takes place in the command's own process",
    "supervisor/core/config/reference.py: sys": "run as a program, it prints the README's table",
    "supervisor/cli/past.py: child": "history reads the ledger's file by itself",
    "supervisor/cli/ahead.py: child": "how long runs took is read from the ledger's file",
    "supervisor/cli/checks/apart.py: forked": "a check runs in a process of its own, as a helper does",
    "supervisor/cli/checks/project.py: child": "whether a resource opens is tried by the child's own code",
    "supervisor/cli/kafka_lag.py: helper": "how far a group is, is asked in a process of its own",
    "supervisor/cli/kafka_records.py: helper": "records are read and written in a process of its own",
    "supervisor/cli/kafka_dlq.py: helper": "dead letters are read and sent back in a process of its own",
    "supervisor/cli/kafka_verify.py: child": "the consumer's process is what it runs",
    "supervisor/cli/kafka_verify.py: parent": "and it comes through the one door that forks",
    "supervisor/testing_kafka/begin.py: cli": "a test's supervisor is born as `start` makes one",
    "supervisor/cli/kafka_doctor.py: helper": "what a broker says of a consumer is asked in a process of its own",
    "supervisor/cli/kafka_reset.py: helper": "a group's offsets are set in a process of its own",
    "supervisor/cli/doctor.py: helper": "which topics there are is asked in a process of its own",
}
# One owner per library. A library that is not here has no owner, and no place in the house.
OWNERS = {
    "multiprocess": ["supervisor/parent/process.py"],
    "h11": ["supervisor/parent/*"],
    "setproctitle": ["supervisor/parent/*", "supervisor/child/*", "supervisor/helper/*"],
    "psutil": ["supervisor/child/usage.py", "supervisor/cli/*"],
    "schedule": ["supervisor/child/schedule/*"],
    "confluent_kafka": [
        *("supervisor/child/kafka/*", "supervisor/child/broker/*", "supervisor/helper/topics.py"),
        *("supervisor/helper/kafka_*.py", "supervisor/testing_kafka/serve.py"),
    ],
    "pytest": ["supervisor/pytest_plugin.py"],
    "kafka": ["supervisor/helper/*"],
    "pydantic": ["supervisor/core/config/*"],
    "pydantic_core": ["supervisor/core/config/*"],
    "cronsim": ["supervisor/core/schedule/*", "supervisor/core/config/*"],
    "tomlkit": ["supervisor/cli/*", "supervisor/core/config/*"],
    "click": ["supervisor/cli/*"],
    "fastapi": ["supervisor/fastapi/*"],
    "typing_extensions": ["supervisor/core/kafka/record.py"],
    "sqlalchemy": ["supervisor/child/kafka/ledger_sql.py"],  # imported when a session of it comes in
}
IMPURE = {
    *("asyncio", "ctypes", "fcntl", "getpass", "glob", "http", "io", "logging", "mmap", "multiprocessing", "os"),
    *("platform", "pty", "queue", "random", "resource", "secrets", "select", "selectors", "shutil", "signal", "socket"),
    *("sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
}
IMPURE_CALLS = ["open", "print", "input", "exec", "eval", "*.now", "*.utcnow", "*.today", "Path", "pathlib.Path"]
WHO_RUNS_IT = {"parent": "RUNS IN THE PARENT", "child": "RUNS IN A CHILD", "helper": "RUNS IN", "cli": "RUNS IN"}
OTHER_WORDS = {"worker", "job", "service", "daemon", "node", "manager", "arbiter", "watcher", "master"}
# "file: word": why it may stand there.
WORDS_ALLOWED = {
    "supervisor/child/schedule/*: job": "the schedule library's own class",
    "supervisor/schedule.py: job": "the schedule library's own class",
    "supervisor/child/opening.py: manager": "Python's context manager",
    "supervisor/child/kafka/client.py: daemon": "a thread's own attribute",
}
LONGEST_MODULE = 300
LONGEST_FUNCTION = 40

every_module = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
core_modules = pytest.mark.parametrize(
    "module", [module for module in modules() if module.room == "core"], ids=lambda module: module.name
)


@every_module
def test_a_room_knows_only_the_rooms_it_may(module: Module) -> None:
    allowed = MAY_IMPORT[module.room]
    own = [found for found in module.imports() if found.library == "supervisor" and not found.typing_only]
    wrong = [found for found in own if found.room not in allowed and not has_a_door(module, found)]
    assert not wrong, [f"{module.name}:{found.line}: {found.module}" for found in wrong]


def has_a_door(module: Module, found: Import) -> bool:
    # `import supervisor` is the name and the version, which anybody may show.
    return found.room == "" or f"{module.name}: {found.room}" in DOORS


@every_module
def test_each_library_is_used_by_its_owner_only(module: Module) -> None:
    foreign = [found for found in module.imports() if is_third_party(found.library)]
    wrong = [found for found in foreign if not owns(module, found.library)]
    assert not wrong, [f"{module.name}:{found.line}: {found.module}" for found in wrong]


def owns(module: Module, library: str) -> bool:
    return any(fnmatch.fnmatch(module.name, pattern) for pattern in OWNERS.get(library, []))


def test_every_library_with_an_owner_is_declared_and_used() -> None:
    used = {found.library for module in modules() for found in module.imports() if is_third_party(found.library)}
    assert used <= OWNERS.keys()


@core_modules
def test_the_core_is_pure(module: Module) -> None:
    """Time, chance, files and the system are passed in; so the core is tested without them."""
    wrong = [
        f"{module.name}:{found.line}: import {found.module}"
        for found in module.imports()
        if found.library in IMPURE and not found.typing_only and f"{module.name}: {found.library}" not in DOORS
    ]
    wrong += [
        f"{module.name}:{line}: {call}()"
        for call, line in module.calls()
        if any(fnmatch.fnmatch(call, pattern) for pattern in IMPURE_CALLS)
    ]
    assert not wrong


@every_module
def test_every_module_says_what_it_is_and_who_runs_it(module: Module) -> None:
    assert module.docstring, f"{module.name} has no docstring"
    if module.path.name != "__init__.py":
        assert module.docstring.startswith(WHO_RUNS_IT.get(module.room, "")), f"{module.name}: {module.docstring[:60]}"


@every_module
def test_modules_and_functions_are_short(module: Module) -> None:
    assert module.lines <= LONGEST_MODULE, f"{module.name} has {module.lines} lines"
    long = {f.name: size(f) for f in module.functions() if size(f) > LONGEST_FUNCTION}
    assert not long, f"{module.name}: {long}"


def test_most_functions_are_very_short() -> None:
    assert statistics.median(size(function) for module in modules() for function in module.functions()) <= 8


def size(function: object) -> int:
    return int(function.end_lineno - function.lineno + 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", [*modules(), *modules("tasks")], ids=lambda module: module.name)
def test_one_word_per_thing(module: Module) -> None:
    wrong = [
        f"{module.name}:{line}: {name}"
        for name, line in module.names()
        for word in words(name)
        if word.removesuffix("s") in OTHER_WORDS and not word_is_allowed(module, word.removesuffix("s"))
    ]
    assert not wrong


def word_is_allowed(module: Module, word: str) -> bool:
    return any(fnmatch.fnmatch(f"{module.name}: {word}", pattern) for pattern in WORDS_ALLOWED)


def test_no_exception_to_a_rule_outlives_its_reason() -> None:
    """A door or an allowed word that nobody uses any more is taken out of the list."""
    doors = {f"{m.name}: {to}" for m in modules() for found in m.imports() for to in (found.room, found.library)}
    assert not [door for door in DOORS if door not in doors]
    used = {f"{m.name}: {w.removesuffix('s')}" for m in modules() for name, _ in m.names() for w in words(name)}
    assert not [pattern for pattern in WORDS_ALLOWED if not fnmatch.filter(used, pattern)]


def test_the_users_side_imports_only_the_public_names() -> None:
    found = [f"{m.name}: {i.module}" for m in modules("tasks") for i in m.imports() if i.library == "supervisor"]
    assert all(text.endswith(": supervisor") for text in found), found


def test_test_files_have_names_of_their_own() -> None:
    """pytest's importlib mode takes two files of one name for one module in its messages."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_the_shipped_configuration_is_toml() -> None:
    assert {"supervisor", "tasks", "consumers", "kafka"} <= tomllib.loads((ROOT / "config.toml").read_text()).keys()


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
    ids=" ".join,
)
def test_the_code_passes_ruff_and_mypy(command: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
