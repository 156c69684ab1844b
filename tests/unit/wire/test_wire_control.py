"""A request becomes one command of a fixed table, or a refusal that says what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.wire import control
from supervisor.core.wire.control import (
    Chaos,
    ChildDetail,
    Command,
    Disable,
    Enable,
    Hold,
    Refusal,
    Reload,
    Restart,
    Run,
    Stack,
    Status,
    Stop,
    changes,
    describe,
    no_such_child,
    parse,
    waits,
)


def _parse(method: str, target: str, body: object = None) -> Command | Refusal:
    return parse(method, target, b"" if body is None else json.dumps(body).encode())


def _refused(method: str, target: str, body: object = None) -> Refusal:
    refusal = _parse(method, target, body)
    assert isinstance(refusal, Refusal)
    return refusal


@pytest.mark.parametrize(
    ("method", "target", "body", "command"),
    [
        ("GET", "/v1/status", None, Status()),
        ("GET", "/v1/children/orders", {}, ChildDetail("orders")),
        ("GET", "/v1/children/orders:2", None, ChildDetail("orders:2")),
        ("GET", "/v1/children/orders%3A2", None, ChildDetail("orders:2")),
        ("POST", "/v1/children/orders/restart", None, Restart("orders", now=False)),
        ("POST", "/v1/children/orders/restart", {"now": True}, Restart("orders", now=True)),
        ("POST", "/v1/children/orders/enable", {"note": "ok"}, Enable("orders", "ok", now=False)),
        ("POST", "/v1/children/orders/disable", None, Disable("orders", None, "", now=False)),
        ("POST", "/v1/children/orders/disable", {"for": 7200, "now": True}, Disable("orders", 7200, "", now=True)),
        ("POST", "/v1/children/orders/disable", {"for": None, "note": "x"}, Disable("orders", None, "x", now=False)),
        ("POST", "/v1/children/task1/run", None, Run("task1", None, wait=False)),
        ("POST", "/v1/children/task1/run", {"slot": 1.8e9, "wait": True}, Run("task1", 1.8e9, wait=True)),
        ("POST", "/v1/children/task1/run", {"slot": 60, "kind": "backfill"}, Run("task1", 60, False, "backfill")),
        ("POST", "/v1/reload", {"dry_run": True}, Reload(dry_run=True)),
        ("POST", "/v1/stop", None, Stop(now=False)),
        ("GET", "/v1/children/orders:2/stack", None, Stack("orders:2")),
        ("POST", "/v1/children/orders/chaos", {"how": "leak"}, Chaos("orders", "leak")),
        ("POST", "/v1/children/orders/pause", None, Hold("orders", on=True)),
        ("POST", "/v1/children/orders/resume", {}, Hold("orders", on=False)),
    ],
)
def test_each_path_makes_its_command(method: str, target: str, body: object, command: Command) -> None:
    assert _parse(method, target, body) == command


@pytest.mark.parametrize(
    ("method", "target", "status", "text", "suggestion"),
    [
        ("GET", "/v1/statsu", 404, "/v1/statsu", "did you mean '/v1/status'?"),
        ("GET", "/v2/status", 404, "no path", "did you mean '/v1/status'?"),
        ("GET", "/", 404, "no path", "paths: /v1/status"),
        ("GET", "", 404, "no path", "paths: /v1/status"),
        ("POST", "/v1/children/orders/restrat", 404, "no verb", "did you mean 'restart'?"),
        ("POST", "/v1/children/orders/__class__", 404, "no verb", "verbs: restart, enable, disable, run"),
        ("POST", "/v1/children/orders/run/now", 404, "no path", "/v1/children/NAME/run"),
        ("GET", "/v1/children/", 404, "no child can be named", "names are a-z"),
        ("GET", "/v1/children/..", 404, "no child can be named", "names are a-z"),
        ("GET", "/v1/children/a\n", 404, "no child can be named", "names are a-z"),
        ("GET", "/v1/children/" + "a" * 64, 404, "no child can be named", "names are a-z"),
        ("POST", "/v1/status", 405, "expected GET", None),
        ("GET", "/v1/stop", 405, "expected POST", None),
        ("GET", "/v1/children/orders/restart", 405, "expected POST", None),
        ("TRACE\x1b", "/v1/stop", 405, "\\u001b", None),
        ("GET", "/v1/status?verbose=1", 400, "without a query", None),
    ],
)
def test_an_unknown_path_or_method_says_what_is_meant(
    method: str, target: str, status: int, text: str, suggestion: str | None
) -> None:
    refusal = _refused(method, target)
    assert refusal.status == status
    assert text in refusal.text
    assert (suggestion or "") in (refusal.suggestion or "")
    assert refusal.text.isprintable()
    assert refusal.body() == {"error": refusal.text, "suggestion": refusal.suggestion}


@pytest.mark.parametrize(
    ("target", "body", "text", "suggestion"),
    [
        ("/v1/stop", {"nwo": True}, 'unknown key "nwo"', "did you mean 'now'?"),
        ("/v1/stop", {"zzz": True}, 'unknown key "zzz"', "keys: now"),
        ("/v1/stop", {"now": "yes"}, 'key "now": expected true or false, got "yes"', None),
        ("/v1/stop", {"now": 1}, "expected true or false, got 1", None),
        ("/v1/children/a/disable", {"for": "2h"}, 'key "for": expected seconds above 0', None),
        ("/v1/children/a/disable", {"for": True}, "got true", None),
        ("/v1/children/a/disable", {"for": 0}, "got 0", None),
        ("/v1/children/a/disable", {"for": -1}, "got -1", None),
        ("/v1/children/a/disable", {"for": 10**400}, "expected seconds", None),
        ("/v1/children/a/disable", {"note": 5}, "expected a text of at most 500", None),
        ("/v1/children/a/disable", {"note": "x" * 501}, "expected a text of at most 500", None),
        ("/v1/children/a/run", {"slot": -5}, "expected seconds since 1970", None),
        ("/v1/children/a/run", {"slot": 1_795_000_000_000}, "expected seconds since 1970", None),  # milliseconds
        ("/v1/children/a/run", {"slot": "now"}, "expected seconds since 1970", None),
        ("/v1/children/a/run", {"kind": "schedule"}, 'expected manual or backfill, got "schedule"', None),
        ("/v1/children/a/run", {"kind": ["manual"]}, 'got ["manual"]', None),
        ("/v1/stop", [1], "expected a JSON object, got [1]", None),
        ("/v1/children/a/chaos", {"how": "burn"}, 'expected one of kill, hang, stop, leak, slow, got "burn"', None),
        ("/v1/children/a/chaos", {}, "got null", None),
        ("/v1/children/a/chaos", {"how": ["kill"]}, 'got ["kill"]', None),
    ],
)
def test_a_key_that_is_unknown_or_of_another_type_is_refused(
    target: str, body: object, text: str, suggestion: str | None
) -> None:
    refusal = _refused("POST", target, body)
    assert refusal.status == 400
    assert text in refusal.text
    assert refusal.suggestion == suggestion


def test_reading_takes_no_keys() -> None:
    assert _refused("GET", "/v1/status", {"all": True}).suggestion == "this request takes no keys"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[" * 60_000,
        b'{"slot": ' + b"9" * 5000 + b"}",
        b'{"slot": NaN}',
        b'{"slot": Infinity}',
        b'{"now": true, "now": false}',
        b'{"a": 1e999}',
    ],
    ids=["open", "not UTF-8", "deep", "long number", "NaN", "Infinity", "key twice", "infinite"],
)
def test_a_body_that_is_no_plain_json_is_refused(body: bytes) -> None:
    refusal = parse("POST", "/v1/children/a/run", body)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 400


_bodies = st.binary(max_size=200) | st.dictionaries(
    st.sampled_from(["now", "note", "for", "slot", "wait", "dry_run"]) | st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600),
    max_size=4,
).map(lambda body: json.dumps(body).encode())
_targets = st.text(max_size=40) | st.builds(
    "/v1/children/{}/{}".format, st.text(max_size=8) | st.just("a"), st.sampled_from(["run", "restart", "disable", "x"])
)


@given(st.sampled_from(["GET", "POST"]) | st.text(max_size=8), _targets, _bodies)
def test_whatever_is_asked_the_answer_is_a_command_or_a_short_printable_refusal(
    method: str, target: str, body: bytes
) -> None:
    answer = parse(method, target, body)
    if isinstance(answer, Refusal):
        assert answer.status in (400, 404, 405)
        assert answer.text.isprintable()
        assert len(answer.text) < 500
    else:
        assert describe(answer)


def test_nothing_that_arrives_is_looked_up_as_an_attribute_or_run() -> None:
    source = Path(control.__file__).read_text()
    for word in ("getattr", "eval(", "exec(", "import_module", "pickle", "globals(", ".format("):
        assert word not in source, word


def test_who_must_be_written_down_and_who_may_wait() -> None:
    assert [changes(c) for c in (Status(), ChildDetail("a"), Reload(dry_run=True), Stack("a"))] == [False] * 4
    assert changes(Chaos("a", "kill"))
    assert waits(Stack("a"))
    assert not waits(Chaos("a", "kill"))
    assert [changes(c) for c in (Reload(dry_run=False), Stop(now=True), Run("a", None, wait=False))] == [True] * 3
    later = (Reload(dry_run=True), Run("a", None, wait=True), Enable("a", "", now=False), Disable("a", None, "", False))
    assert [waits(c) for c in later] == [True] * 4
    assert [waits(c) for c in (Status(), Run("a", None, wait=False), Stop(now=True))] == [False] * 3


def test_a_command_is_described_in_one_line() -> None:
    told = [
        describe(command)
        for command in (
            Disable("orders", 7200.0, "migration", now=False),
            Disable("orders", None, "", now=False),
            Enable("orders", "", now=False),
            Run("task1", 60.0, wait=False),
            Run("task1", None, wait=True),
            Run("task1", 60.0, wait=True, kind="backfill"),
            Restart("orders:1", now=True),
            ChildDetail("orders"),
            Stop(now=False),
            Stack("orders"),
            Chaos("orders", "hang"),
            Hold("orders", on=True),
            Hold("orders", on=False),
        )
    ]
    assert told == [
        "disable orders for 7200 s (migration)",
        "disable orders",
        "enable orders",
        "run task1 for slot 60",
        "run task1",
        "backfill task1 for slot 60",
        "restart orders:1",
        "show orders",
        "stop",
        "stacks of orders",
        "chaos orders: hang",
        "pause orders",
        "resume orders",
    ]


def test_a_child_that_is_not_there_names_the_nearest_or_all() -> None:
    assert no_such_child("ordres", ["orders", "task1"]) == Refusal(
        404, "there is no child 'ordres'", "did you mean 'orders'?"
    )
    assert no_such_child("zzz", ["task1", "orders"]).suggestion == "children: orders, task1"
