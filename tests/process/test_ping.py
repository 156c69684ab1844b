"""A monitor is told of every run, and whatever the monitor does, runs take place as if there were none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from supervisor.child.birth import LastExit
from supervisor.child.schedule import ping
from supervisor.child.schedule.ping import Pings
from support.eventually import eventually
from support.tasks import Task

ALWAYS = {"every": 86400.0 * 365, "catch_up": "none", "history_keep": 1e10}  # no slot while a test runs
ROW = {"kind": "schedule", "slot": 1.5, "state": "ok", "duration": 0.21}


class Monitor:
    """`answers` are given one after another, the last one for ever; None: no answer at all until the test ends."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []  # path, id, text
        self.answers: list[int | None] = [200]
        self.over = threading.Event()
        self.url = ""

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.heard]

    def answer(self) -> int | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def listening() -> Iterator[Monitor]:
    monitor = Monitor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            parts = urlsplit(self.path)
            monitor.heard.append((parts.path, parse_qs(parts.query)["rid"][0], text))
            status = monitor.answer()
            if status is None:
                monitor.over.wait(60)
                return
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test looks at what was heard."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    monitor.url = f"http://127.0.0.1:{server.server_port}/secret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield monitor
    finally:
        monitor.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with listening() as made:
        yield made


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Task]:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def test_begin_and_end_of_a_run_are_told_under_one_id(task: Callable[..., Task], monitor: Monitor) -> None:
    code = "def run(ctx):\n    if ctx.slot == 7.0: raise ConnectionError('refused')"
    with task(code, ping=monitor.url, **ALWAYS).start() as child:
        child.wait_ready()
        child.order("run", id="1", slot=5.0)
        child.order("run", id="2", slot=7.0)
        eventually(lambda: len(monitor.heard) == 4, within=60)
        child.terminate()
        assert child.exit_code() == 0
    assert monitor.paths == ["/secret/start", "/secret", "/secret/start", "/secret/fail"]
    ids = [rid for _, rid, _ in monitor.heard]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert monitor.heard[1][2].startswith("ok in ")
    assert monitor.heard[3][2].endswith(": ConnectionError: refused (mine.py:2)")


def test_of_a_run_with_retries_the_last_attempt_is_told(task: Callable[..., Task], monitor: Monitor) -> None:
    code = "def run(ctx):\n    if ctx.attempt < 3: raise ValueError"
    with task(code, ping=monitor.url, retries=2, retry_base=0.01, **ALWAYS).start() as child:
        child.wait_ready()
        child.order("run", id="1")
        eventually(lambda: len(monitor.heard) == 2, within=60)
    assert monitor.paths == ["/secret/start", "/secret"]


def test_a_run_whose_process_was_killed_has_failed_and_the_next_process_says_so(
    task: Callable[..., Task], monitor: Monitor
) -> None:
    mail = task("import time\ndef run(): time.sleep(60)", ping=monitor.url, **ALWAYS)
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="1")
        eventually(lambda: monitor.paths == ["/secret/start"], within=60)
        child.kill()
        child.exit_code()
    with mail.start(LastExit(cause="oom", reason="out of memory", at=time.time())) as child:
        eventually(lambda: monitor.paths == ["/secret/start", "/secret/fail"], within=60)
        child.wait_ready()
    assert monitor.heard[0][1] == monitor.heard[1][1]
    assert "killed" in monitor.heard[1][2]
    assert "out of memory" in monitor.heard[1][2]


@pytest.mark.parametrize("answer", [None, 500, 302, "nobody"])
def test_no_run_waits_for_a_monitor_or_fails_with_it(
    task: Callable[..., Task], monitor: Monitor, answer: int | str | None
) -> None:
    """A monitor that hangs, fails, sends elsewhere, or is not there."""
    if not isinstance(answer, str):
        monitor.answers = [answer]
    url = "http://127.0.0.1:9/nobody" if answer == "nobody" else monitor.url
    mail = task("def run(): ...", ping=url, every=0.05, catch_up="none")
    with mail.start() as child:
        child.wait_run(count=2 * ping.MOST)  # many more than wait to be sent
        assert {run["state"] for run in child.runs} == {"ok"}
        assert max(run["duration"] for run in child.runs) < ping.WITHIN
        child.terminate()
        assert child.exit_code(within=20) == 0
        assert "secret" not in child.log


def test_a_ping_that_was_not_taken_is_tried_again_and_the_trouble_is_told_once(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ping, "WAITS", (0.01, 0.01))
    monitor.answers = [500, 500, 200, 500, 500, 500, 503, 503, 503, 200]
    pings = Pings(monitor.url, "mail")
    with caplog.at_level("INFO"):
        for _ in range(4):  # taken at the third try; given up; given up; taken at once
            pings.ended(ROW)
        eventually(lambda: len(monitor.heard) == 10, within=60)
        pings.close(30)
    assert [r.message for r in caplog.records] == [
        "ping: the monitor was not told: HTTP 500; runs go on",
        "ping: the monitor answers again",
    ]


def test_of_many_that_wait_the_newest_are_sent(monitor: Monitor) -> None:
    monitor.answers = [None, 200]
    pings = Pings(monitor.url + "?a=b", "mail")
    pings.began(ROW)
    eventually(lambda: monitor.heard, within=60)
    for number in range(100):
        pings.ended({**ROW, "slot": float(number), "state": "failed", "error": f"E{number}"})
    monitor.over.set()
    eventually(lambda: len(monitor.heard) >= 1 + ping.MOST, within=60)
    pings.close(30)
    texts = [text for path, _, text in monitor.heard if path == "/secret/fail"]
    assert [text.rpartition("E")[2] for text in texts] == [str(n) for n in range(100 - ping.MOST, 100)]


def test_what_was_cut_short_is_no_alarm(monitor: Monitor) -> None:
    pings = Pings(monitor.url, "mail")
    pings.ended({**ROW, "state": "interrupted"})
    pings.close(30)
    assert monitor.paths == ["/secret/log"]


def test_the_end_of_the_process_waits_for_a_monitor_only_so_long(monitor: Monitor) -> None:
    monitor.answers = [None]
    pings = Pings(monitor.url, "mail")
    pings.ended(ROW)
    eventually(lambda: monitor.heard, within=60)
    began = time.monotonic()
    pings.close(0.1)
    assert time.monotonic() - began < ping.WITHIN
