"""Eight ways to hang, side by side under a real supervisor: each run ends as timed_out, each process is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import alive

HANGS = {
    "loop": "while True: pass",
    "sleeping": "time.sleep(3600)",
    "receiving": "pair = socket.socketpair(); pair[0].recv(1)",
    "locked": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "regex": 're.match(r"(a+)+$", "a" * 64 + "b")',
    "bigint": "pow(3, 10 ** 9)",
    "one_c_call": 'hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2 ** 31 - 1)',
    "swallows": "while True:\n        try: time.sleep(0.01)\n        except BaseException: pass",
}
BY_THE_PARENT = {"one_c_call", "swallows"}  # no exception reaches their code; the others may end by it
CODE = NOTE + "import hashlib, re, socket, threading\n"
FUNCTION = """

def {name}():
    if os.path.exists(os.path.join(HERE, "{name}")):
        return  # it hangs once: the others need the machine too
    note("{name}", os.getpid())
    {body}
"""
TASK = """
[tasks.{name}]
run = "mine:{name}"
every = "1h"
run_on_start = true
timeout = "1s"
kill_after = "2s"
"""


def test_every_kind_of_hang_is_ended_and_recorded(project: Callable[..., Project]) -> None:
    code = CODE + "".join(FUNCTION.format(name=name, body=body) for name, body in HANGS.items())
    made = project(FAST + "".join(TASK.format(name=name) for name in HANGS), code)
    with made.supervisor() as supervisor:
        for name in HANGS:
            ran = eventually(partial(timed_out, made, name), within=120, every=0.3, what=f"the end of {name}")
            assert ran is not None
            assert ran.get("stacks"), (name, ran)
        for name in BY_THE_PARENT:
            pid = int(made.lines(name)[0])
            assert not alive(pid), f"{name}: pid {pid} is to be gone"
            assert supervisor.child(name)["starts"] > 1
        supervisor.wait_ready()
        assert supervisor.stop() == 0


def timed_out(made: Project, name: str) -> dict[str, Any] | None:
    history = made.run("history", name, "--json")
    found: list[dict[str, Any]] = json.loads(history.stdout) if history.returncode == 0 and history.stdout else []
    return next((r for r in found if r["state"] == "timed_out" and r.get("finished")), None)
