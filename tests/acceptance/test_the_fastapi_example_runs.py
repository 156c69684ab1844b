"""examples/fastapi_app.py, and the app.py that `supervisor init` writes, do what they say, by a real uvicorn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.eventually import eventually
from support.house import ROOT
from support.project import Project
from support.web_server import WITHIN, WebServer, one_supervisor


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped project without its state folder."""
    for name in ("tasks", "examples"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.toml", tmp_path / "copy")
    return tmp_path / "copy"


def test_the_example_serves_what_its_background_stored(copy: Path) -> None:
    with WebServer(copy, "examples.fastapi_app:app", processes=2, DATABASE_URL=f"sqlite:///{copy}/app.db") as web:
        web.wait_for("/background/health", 200)
        eventually(lambda: web.wait_for("/inbox", 200), WITHIN, every=0.2, what="the demo's events are in the inbox")
        web.wait_held(2)
        one_supervisor(copy / "config.toml")
        web.finish()


def test_what_init_writes_is_a_web_application_with_its_background(tmp_path: Path) -> None:
    made = Project(tmp_path / "new")
    made.config.unlink()
    (made.folder / "mine.py").unlink()
    assert made.run("init").returncode == 0
    with WebServer(made.folder) as web:
        web.wait_for("/background/health", 200)
        assert web.wait_for("/", 200) == {"hello": "world"}
        web.finish()
