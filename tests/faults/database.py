"""D: what can go wrong with the database that a run uses."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import make_url

from faults.catalogue import fault
from faults.scene import HEAD, WELL, Scene
from support.eventually import eventually
from support.project import Project
from support.supervisor_process import Supervisor

CONFIG = (
    HEAD
    + """
[resources]
db = "mine:session"

[tasks.one]
run = "mine:tick"
every = "1s"
timeout = "{timeout}"
kill_after = "500ms"
"""
    + WELL
)
CODE = """
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

def session():
    with Session(create_engine({url!r}, poolclass=NullPool, connect_args={arguments!r})) as made:
        yield made


def tick(db):
    note("runs", os.getpid())
    {body}
    db.execute(text("INSERT INTO kept (pid) VALUES (:pid)"), {{"pid": os.getpid()}})
    db.commit()
    note("kept")
"""


def _made(scene: Scene, url: str, body: str = "pass", *, within: str = "1h", **arguments: object) -> Project:
    return scene.written(CODE.format(url=url, body=body, arguments=arguments), CONFIG.replace("{timeout}", within))


def _wait_run(supervisor: Supervisor, state: str, said: str) -> None:
    """Until a run has ended so."""

    def found() -> bool:
        rows = json.loads(supervisor.cli("history", "one", "--json").stdout)
        return any(row["state"] == state and said in (row["error"] or "") for row in rows)

    eventually(found, within=60, every=0.3, what=f"a run that is {state}: {said}")


@fault(
    "D1",
    "the database is away",
    injected="a PostgreSQL that cannot be reached until a moment later, then a run on it",
    expected="the runs fail and say why, in the same process; the next slot that finds it is well; no connection stays",
    mark="postgres",
)
def _(scene: Scene) -> None:
    server, url = scene.fixture("postgres"), make_url(scene.fixture("postgres_url"))
    name = str(url.database)
    server.query("CREATE TABLE kept (pid int)", name)
    link = scene.fixture("tmp_path") / "sockets"
    made = _made(scene, url.set(query={"host": str(link)}).render_as_string())
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        _wait_run(supervisor, "failed", "OperationalError")
        assert not made.lines("kept")
        link.symlink_to(Path(str(url.query["host"])))
        eventually(lambda: len(made.lines("kept")) >= 2, within=60)
        assert set(server.query("SELECT pid FROM kept", name)) == {str(pid)}
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)
        asked = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        eventually(lambda: server.query(asked, name) == ["0"], within=60, every=0.05)


@fault(
    "D2",
    "the database is locked",
    injected="BEGIN EXCLUSIVE on a SQLite file elsewhere, a run that would wait an hour for it",
    expected="the run's own timeout ends it; the next slot after the lock is well",
)
def _(scene: Scene) -> None:
    path = scene.fixture("tmp_path") / "app.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE kept (pid int)")
        other.execute("BEGIN EXCLUSIVE")
        made = _made(scene, f"sqlite:///{path}", within="1s", timeout=3600)
        with made.supervisor() as supervisor:
            _wait_run(supervisor, "timed_out", "")
            assert not made.lines("kept")
            other.execute("ROLLBACK")
            eventually(lambda: made.lines("kept"), within=60)
            assert other.execute("SELECT count(*) FROM kept").fetchone()[0] >= 1
            assert supervisor.child("well")["restarts"] == 0


@fault(
    "D3",
    "the connection drops in a transaction",
    injected="pg_terminate_backend of the run's own connection between an INSERT and its commit",
    expected="nothing of it is kept, the run fails and says why, all is closed; the next run is well",
    mark="postgres",
)
def _(scene: Scene) -> None:
    server, url = scene.fixture("postgres"), scene.fixture("postgres_url")
    name = str(make_url(url).database)
    server.query("CREATE TABLE kept (pid int)", name)
    body = f"""
    note("sockets", sum(os.readlink(f"/proc/self/fd/{{fd}}").startswith("socket:") for fd in listed()))
    if len(open(os.path.join(HERE, "runs")).readlines()) == 1:
        db.execute(text("INSERT INTO kept (pid) VALUES (-1)"))
        backend = db.execute(text("SELECT pg_backend_pid()")).scalar()
        with create_engine({url!r}, poolclass=NullPool).begin() as other:
            other.execute(text(f"SELECT pg_terminate_backend({{backend}}, 10000)"))
    """
    made = _made(scene, url, body.strip())
    made.write("mine.py", LISTED + (made.folder / "mine.py").read_text())
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        _wait_run(supervisor, "failed", "terminat")
        eventually(lambda: len(made.lines("kept")) >= 2, within=60)
        assert set(server.query("SELECT pid FROM kept", name)) == {str(pid)}
        assert len(set(made.lines("sockets"))) == 1, "one was left open"
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)


LISTED = """
import os

def listed():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            os.readlink(f"/proc/self/fd/{fd}")
            found.append(fd)
        except OSError:
            pass
    return found

"""


@fault(
    "D4",
    "a connection is handed across the fork",
    injected="a module of preload that connects to PostgreSQL while the supervisor imports it",
    expected="no child has its socket: each run opens its own",
    mark="postgres",
)
def _(scene: Scene) -> None:
    server, url = scene.fixture("postgres"), scene.fixture("postgres_url")
    name = str(make_url(url).database)
    server.query("CREATE TABLE kept (pid int)", name)
    made = _made(scene, url, "note('shared', SHARED)")
    plain = make_url(url).set(drivername="postgresql").render_as_string()
    made.write(
        "shared.py",
        f"import os, psycopg\nKEPT = psycopg.connect({plain!r})\n"
        "INODE = os.readlink(f'/proc/self/fd/{KEPT.fileno()}')\n",
    )
    begin = "import shared\nSHARED = shared.INODE in [os.readlink(f'/proc/self/fd/{fd}') for fd in listed()]\n"
    made.write("mine.py", LISTED + begin + (made.folder / "mine.py").read_text())
    made.configure(CONFIG.replace("{timeout}", "1h").replace("watch = false", 'watch = false\npreload = ["shared"]'))
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("kept")) >= 2, within=60)
        assert set(made.lines("shared")) == {"False"}
        asked = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        assert int(server.query(asked, name)[0]) >= 1, "the supervisor holds its own: it was made before the fork"
        assert supervisor.child("one")["restarts"] == 0
