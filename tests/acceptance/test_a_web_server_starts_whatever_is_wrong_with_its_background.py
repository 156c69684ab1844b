"""Bad input to the lifespan is one clear line in the web server's log; the web application itself always starts."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.web_server import WITHIN, WebServer, one_supervisor, supervisors, wait_gone

GOOD = FAST + '[tasks.one]\nrun = "mine:tick"\nevery = "1h"\n'
CODE = NOTE + "\n\ndef tick():\n    pass\n"
APP = """
from contextlib import asynccontextmanager

from fastapi import FastAPI

from supervisor.fastapi import lifespan, router


@asynccontextmanager
async def mine(app):
    app.state.inner = "entered"
    yield {"from_inner": "passed on"}
    with open("left", "w") as file:
        file.write("left")


app = FastAPI(lifespan=%s)
app.include_router(router())


@app.get("/plain")
async def plain():
    return "served"
"""


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    found = project(config=GOOD, code=CODE)
    found.write("app.py", APP % "lifespan()")
    return found


def test_without_a_config_it_says_so_and_starts_when_one_is_written(made: Project) -> None:
    made.config.unlink()
    with WebServer(made.folder) as web:
        assert web.wait_for("/plain", 200) == "served"
        problem = problem_of(web, "does not exist")
        assert str(made.config) in problem
        assert "supervisor init" in problem
        assert web.said("does not exist") == 1, web.output
        made.configure(GOOD)
        web.wait_for("/background/health", 200)
        web.finish()


def test_an_invalid_config_is_one_line_and_starts_when_it_is_mended(made: Project) -> None:
    made.configure(GOOD.replace("1h", "5x").replace("[tasks.one]", "[tasks.one]\nfoo = 1"))
    with WebServer(made.folder) as web:
        assert web.wait_for("/plain", 200) == "served"
        problem = problem_of(web, "2 errors")
        assert "config.toml:" in problem
        assert "tasks.one" in problem
        assert web.said("2 errors") == 1, web.output
        made.configure(GOOD)
        web.wait_for("/background/health", 200)
        web.finish()


def test_a_state_folder_that_cannot_be_one_is_one_line(made: Project) -> None:
    made.write(".supervisor", "no folder")
    with WebServer(made.folder) as web:
        assert web.wait_for("/plain", 200) == "served"
        assert str(made.state) in problem_of(web, "expected a folder")
        assert web.said("expected a folder") == 1, web.output
        web.finish()


def test_a_port_in_use_leaves_no_supervisor(made: Project) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, WebServer(made.folder, port=taken.getsockname()[1]) as web:
        assert web.process.wait(WITHIN) != 0
        assert web.said("address already in use") == 1, web.output
    wait_gone(made.config)


def test_two_applications_over_one_config_share_one_supervisor(made: Project) -> None:
    made.write("other.py", (made.folder / "app.py").read_text())
    with WebServer(made.folder) as first, WebServer(made.folder, "other:app") as second:
        first.wait_for("/background/health", 200)
        second.wait_for("/background/health", 200)
        first.wait_held(1)
        second.wait_held(1)
        supervisor = one_supervisor(made.config)
        first.stop()
        second.wait_for("/background/health", 200)
        assert supervisors(made.config) == [supervisor]
        second.finish()
    said = first.output + second.output
    assert said.count("forkwarden 0.1.0") == 1, said
    assert "already running" not in said, said


def test_the_lifespan_works_without_its_parentheses_too(made: Project) -> None:
    made.write("app.py", APP % "lifespan")
    with WebServer(made.folder) as web:
        web.wait_for("/background/health", 200)
        web.finish()


def test_a_lifespan_of_the_applications_own_stays_as_it_was(made: Project) -> None:
    made.write("app.py", APP % 'lifespan("config.toml", inner=mine)')
    with open(made.folder / "app.py", "a") as file:
        file.write(
            "\n\nfrom fastapi import Request\n\n\n"
            '@app.get("/inner")\nasync def inner(request: Request):\n'
            "    return [app.state.inner, request.state.from_inner]\n"
        )
    with WebServer(made.folder) as web:
        web.wait_for("/background/health", 200)
        assert web.get("/inner") == (200, ["entered", "passed on"])
        web.finish()
    assert (made.folder / "left").read_text() == "left"


def test_an_application_that_fails_to_start_starts_nothing(made: Project) -> None:
    made.write("app.py", (APP % "lifespan(inner=mine)").replace('app.state.inner = "entered"', "raise OSError('no')"))
    with WebServer(made.folder) as web:
        assert web.process.wait(WITHIN) != 0
    assert supervisors(made.config) == []
    assert not made.state.exists()


def problem_of(web: WebServer, text: str) -> str:
    """Wait until health tells this problem."""

    def found() -> str:
        problems = web.wait_for("/background/health", 503)["problems"]
        return str(problems[0]) if text in problems[0] else ""

    return eventually(found, WITHIN, every=0.1, what=f"health says {text!r}")
