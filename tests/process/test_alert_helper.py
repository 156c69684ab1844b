"""One alert to one target, as the helper sends it: to real servers and real commands, good and bad."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.alerts import Alert, body
from supervisor.helper import alert as sending
from supervisor.helper import calls
from supervisor.parent.helpers import Helpers, Outcome
from supervisor.parent.poller import Poller
from support.alone import alone
from support.eventually import eventually
from support.system import alive
from support.target import PATH, target

BODY = body(Alert("fatal", "orders", "it's \x1b[31m\0 gone\n", 1.0, 2), host="web-1", version="0.1.0", run_id="ab")


def test_a_url_gets_the_json() -> None:
    with target() as server:
        assert sending.post(server.url, BODY) is None
        assert server.received == [BODY]
        assert server.headers[0]["Content-Type"] == "application/json"
        assert server.headers[0]["User-Agent"] == "forkwarden/0.1.0"


def test_user_and_password_of_a_url_go_into_the_header() -> None:
    with target() as server:
        assert sending.post(server.url.replace("//", "//me:s%40crit@"), BODY) is None
        assert server.headers[0]["Authorization"] == "Basic bWU6c0Bjcml0"
        assert "me" not in server.headers[0]["Host"]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (500, "HTTP 500"),
        (404, "HTTP 404"),
        (302, "HTTP 302, a redirect, which is not followed"),
        (307, "HTTP 307, a redirect, which is not followed"),
    ],
)
def test_what_a_server_refuses_is_its_status(status: int, why: str) -> None:
    with target() as server:
        server.status = status
        assert sending.post(server.url, BODY) == why
        assert len(server.received) == 1


def test_a_server_that_is_not_there_refuses() -> None:
    with target(refusing=True) as server:
        assert sending.post(server.url, BODY) == "Connection refused"


def test_a_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "WITHIN", 0.5)
    with target() as server:
        server.hang()
        assert sending.post(server.url, BODY) == "no answer within 0.5 s"
        assert server.hanging.is_set()


@pytest.mark.parametrize("url", ["http://[::1/x", "http://h:port/canary", "http://h/ä\x01canary", "http://"])
def test_an_address_that_is_none_is_an_error_without_the_address(url: str) -> None:
    why = str(sending.post(url, BODY))
    assert why != "None"
    assert "canary" not in why


def test_a_command_gets_the_json_and_its_environment(tmp_path: Path) -> None:
    words = ("sh", "-c", 'cat > got; printf "%s|" "$FORKWARDEN_ALERT_KIND" "$FORKWARDEN_ALERT_COUNT" > env; env >> all')
    assert sending.run(words, BODY, str(tmp_path)) is None
    assert json.loads((tmp_path / "got").read_text()) == BODY
    assert (tmp_path / "env").read_text() == "fatal|2|"
    assert (
        r"FORKWARDEN_ALERT_TEXT=orders on web-1: fatal: it's \x1b[31m\x00 gone (2 times)"
        in (tmp_path / "all").read_text()
    )
    assert "FORKWARDEN_ALERT_CHILD=orders" in (tmp_path / "all").read_text()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("sh", "-c", "echo first >&2; echo the reason >&2; exit 3"), "sh exited with 3: the reason"),
        (("sh", "-c", "exit 4"), "sh exited with 4"),
        (("sh", "-c", "kill -9 $$"), "sh was killed by signal 9"),
        (
            ("sh", "-c", "echo https://me:canary@h/ password=canary >&2; exit 1"),
            "sh exited with 1: https://(hidden)@h/",
        ),
        (("/no/such/program",), "program: No such file or directory"),
        (("/etc/passwd",), "passwd: Permission denied"),
    ],
)
def test_what_a_command_says_at_last_is_why_it_failed(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    said = str(sending.run(words, BODY, str(tmp_path)))
    assert said.startswith(why)
    assert "canary" not in said


@pytest.mark.parametrize("stream", [1, 2])
def test_a_command_that_floods_its_output_is_read_and_forgotten(tmp_path: Path, stream: int) -> None:
    words = ("sh", "-c", f"yes | head -c 50000000 >&{stream}; echo it was too much >&2; exit 1")
    assert sending.run(words, BODY, str(tmp_path)) == "sh exited with 1: it was too much"


def test_a_command_that_reads_nothing_is_no_error(tmp_path: Path) -> None:
    assert sending.run(("true",), BODY | {"text": "x" * 500_000}, str(tmp_path)) is None


def helped(*arguments: Any, within: float) -> Outcome:
    """As the parent has it called: by a helper with a deadline."""
    poller, outcomes = Poller(), list[Outcome]()
    helpers = Helpers(poller)
    helpers.start("alert", calls.alert, *arguments, within=within, now=time.monotonic(), done=outcomes.append)

    def turn() -> bool:
        for _, fd, _ in poller.wait(0.05):
            helpers.on_event(fd)
        helpers.expire(time.monotonic())
        return bool(outcomes)

    eventually(turn, within=60, every=0)
    return outcomes[0]


def test_a_command_that_hangs_is_ended_with_all_that_it_began(tmp_path: Path) -> None:
    words = ("sh", "-c", "echo $$ > pid; sleep 1000 & echo $! > below; wait")
    outcome = alone(helped, words, BODY, str(tmp_path), within=8.0)
    assert outcome == Outcome(error="alert took longer than 8 s")
    for name in ("pid", "below"):
        pid = int((tmp_path / name).read_text())
        eventually(lambda pid=pid: not alive(pid))  # type: ignore[misc]


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    words = ("sh", "-c", "sleep 1000 & echo $! > below")
    assert alone(helped, words, BODY, str(tmp_path), within=60.0) == Outcome(value=None)
    pid = int((tmp_path / "below").read_text())
    eventually(lambda: not alive(pid))


def test_a_helper_posts_too() -> None:
    with target() as server:
        assert alone(helped, server.url, BODY, os.getcwd(), within=60.0) == Outcome(value=None)
        assert server.received == [BODY]
        assert server.url.endswith(PATH)
