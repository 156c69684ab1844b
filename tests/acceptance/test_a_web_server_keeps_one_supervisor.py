"""The lifespan of a FastAPI application keeps one supervisor, however many web processes there are and whoever dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import alive, of_this_session, title
from support.web_server import WITHIN, WebServer, kill, one_supervisor, parent_of, supervisors, wait_gone

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"

[tasks.weak]
run = "mine:weak"
every = "1h"
"""
)
CODE = (
    NOTE
    + """
def tick():
    pass


def weak():
    pass


if os.path.exists(os.path.join(HERE, "break")) and os.environ.get("FORKWARDEN_CHILD") == "weak":
    os._exit(3)
"""
)
APP = """
import os

from fastapi import Depends, FastAPI

from supervisor.fastapi import healthy, lifespan, router

app = FastAPI(lifespan=lifespan("config.toml"))
app.include_router(router())


@app.get("/plain")
async def plain():
    return os.getpid()


@app.get("/weak", dependencies=[Depends(healthy("weak"))])
async def weak():
    return "well"


@app.get("/other", dependencies=[Depends(healthy("no_such"))])
async def other():
    return "well"
"""


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    found = project(config=CONFIG, code=CODE)
    found.write("app.py", APP)
    return found


def test_four_web_processes_share_one_supervisor_and_the_last_ends_it(made: Project) -> None:
    with WebServer(made.folder, processes=4) as web:
        web.wait_for("/background/health", 200)
        assert len(web.wait_held(4)) == 4
        supervisor = one_supervisor(made.config)
        assert web.wait_for("/background/status", 200)["supervisor"]["pid"] == supervisor
        assert os.getsid(supervisor) == supervisor, "in a session of its own: Ctrl-C in the terminal is not for it"
        assert not port_of(web) & sockets_of(supervisor), "the port is the web server's alone"
        web.stop()
        wait_gone(made.config)
    assert web.said("forkwarden 0.1.0") == 1, web.output
    assert web.said("the last web process has gone") >= 1
    assert web.said("already running") == 0
    assert web.said("error") == 0, web.output


def test_a_killed_web_process_takes_nothing_with_it(made: Project) -> None:
    with WebServer(made.folder, processes=4) as web:
        web.wait_for("/background/health", 200)
        before = set(web.wait_held(4))
        supervisor = one_supervisor(made.config)
        children = children_of(supervisor)
        kill(parent_of(supervisor))  # the one that had started it
        eventually(lambda: len(before - set(web.processes())) == 1, WITHIN)
        eventually(
            lambda: len(web.holders()) == 4, WITHIN, every=0.1, what="uvicorn replaced it, and that one holds it"
        )
        assert supervisors(made.config) == [supervisor]
        assert children_of(supervisor) == children
        web.finish()


def test_a_web_server_that_is_killed_as_a_whole_leaves_nothing_behind(made: Project) -> None:
    with WebServer(made.folder, processes=2) as web:
        web.wait_for("/background/health", 200)
        web.wait_held(2)
        web.kill()
        wait_gone(made.config)


def test_a_killed_supervisor_is_started_again_once(made: Project) -> None:
    with WebServer(made.folder, processes=4) as web:
        web.wait_for("/background/health", 200)
        web.wait_held(4)
        killed = one_supervisor(made.config)
        kill(killed)
        eventually(lambda: supervisors(made.config) not in ([], [killed]), WITHIN, every=0.1)
        web.wait_for("/background/health", 200)
        web.wait_held(4)
        assert one_supervisor(made.config) != killed
        assert len(of_this_session("forkwarden: one")) == 1
        assert web.said("the supervisor died") == 1, web.output
        assert web.said("forkwarden 0.1.0") == 2, web.output
        web.finish()


def test_a_supervisor_that_is_stopped_by_hand_comes_back_while_the_web_server_runs(made: Project) -> None:
    with WebServer(made.folder) as web:
        web.wait_for("/background/health", 200)
        web.wait_held(1)
        stopped = one_supervisor(made.config)
        assert made.run("stop").returncode == 0
        eventually(lambda: supervisors(made.config) not in ([], [stopped]), WITHIN, every=0.1)
        web.wait_for("/background/health", 200)
        assert web.said("the supervisor was stopped") == 1, web.output
        web.finish()


def test_a_rolling_restart_keeps_the_supervisor_and_its_children(made: Project) -> None:
    with WebServer(made.folder, processes=2) as old:
        old.wait_for("/background/health", 200)
        old.wait_held(2)
        supervisor = one_supervisor(made.config)
        children = children_of(supervisor)
        with WebServer(made.folder, processes=2) as new:
            new.wait_held(2)
            old.stop()
            new.wait_for("/background/health", 200)
            assert supervisors(made.config) == [supervisor]
            assert children_of(supervisor) == children
            replaced = set(new.processes())
            new.process.send_signal(signal.SIGHUP)  # uvicorn's own: one new web process for each old one
            eventually(lambda: not replaced & set(new.processes()), WITHIN, every=0.1)
            new.wait_held(2)
            assert supervisors(made.config) == [supervisor]
            assert children_of(supervisor) == children
            new.finish()


def test_a_supervisor_started_by_hand_is_used_and_outlives_the_web_server(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        with WebServer(made.folder) as web:
            web.wait_for("/background/health", 200)
            web.wait_held(1)
            assert web.wait_for("/background/status", 200)["supervisor"]["pid"] == supervisor.pid
            web.stop()
        assert supervisors(made.config) == [supervisor.pid]
        assert supervisor.stop() == 0


def test_a_route_that_needs_a_child_answers_503_while_that_one_is_unhealthy(made: Project) -> None:
    with WebServer(made.folder) as web:
        web.wait_for("/weak", 200)
        (made.folder / "break").touch()
        assert made.run("restart", "weak", "--now").returncode == 0
        said = web.wait_for("/weak", 503)["detail"]
        assert "weak is " in said, said
        assert web.wait_for("/background/health", 503)["problems"] == [web.wait_for("/weak", 503)["detail"]]
        assert web.get("/plain")[0] == 200
        (made.folder / "break").unlink()
        web.wait_for("/weak", 200)
        assert made.run("disable", "weak").returncode == 0
        eventually(lambda: weak_is(web) == "stopped", WITHIN, every=0.1)
        assert web.get("/weak")[0] == 200, "off on purpose is healthy"
        assert web.get("/other") == (503, {"detail": "there is no child 'no_such'"})
        web.finish()


def test_a_frozen_supervisor_holds_up_no_request_and_is_not_started_twice(made: Project) -> None:
    with WebServer(made.folder) as web:
        web.wait_for("/weak", 200)
        web.wait_held(1)
        supervisor = one_supervisor(made.config)
        os.kill(supervisor, signal.SIGSTOP)
        try:
            assert "did not answer in time" in web.wait_for("/weak", 503)["detail"]
            assert web.get("/plain")[0] == 200
            assert web.get("/background/health")[0] == 503
            assert supervisors(made.config) == [supervisor]
        finally:
            os.kill(supervisor, signal.SIGCONT)
        web.wait_for("/weak", 200)
        assert supervisors(made.config) == [supervisor]
        web.finish()


def children_of(supervisor: int) -> list[tuple[int, str]]:
    return sorted((pid, title(pid)) for pid in of_this_session("forkwarden: ") if parent_of(pid) == supervisor)


def weak_is(web: WebServer) -> str:
    children = web.wait_for("/background/status", 200)["children"]
    return next(child["state"] for child in children if child["name"] == "weak")


def port_of(web: WebServer) -> set[str]:
    """Return the inodes of the sockets that listen on the web server's port."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{web.port:04X}") and row[3] == "0A"}


def sockets_of(pid: int) -> set[str]:
    assert alive(pid)
    return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
