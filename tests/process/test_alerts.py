"""The real command and a real target: what needs a person is told, and a target that is in trouble holds nothing up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from supervisor.child.broker.address import read
from support.eventually import eventually
from support.kafka import Kafka
from support.project import NOTE, Project
from support.supervisor_process import NotAnswering, Supervisor
from support.system import of_this_session
from support.target import Target, target

Make = Callable[..., Project]

CONFIG = """
[supervisor]
grace_period = "2s"
stable_after = "500ms"
backoff = {{ base = "100ms", max = "200ms", jitter = 0.0 }}
crash_loop = {{ count = 3, window = "10m" }}
watch = false

[alerts]
{alerts}

"""
BROKEN = '[tasks.broken]\nrun = "mine:missing"\nevery = "1h"\n'
CRASHES = '[tasks.crashes]\nrun = "mine:crashes"\nevery = "1h"\nrun_on_start = true\n'
CODE = (
    NOTE
    + """
def crashes():
    if not os.path.exists(os.path.join(HERE, "healed")):
        os._exit(3)

def tick():
    note("ticks")
"""
)


def to(server: Target, more: str = "") -> str:
    return CONFIG.format(alerts=f'url = "{server.url}"\n{more}')


def notes(supervisor: Supervisor) -> str:
    try:
        return " ".join(supervisor.status()["supervisor"]["notes"])
    except NotAnswering:  # not yet
        return ""


def test_a_fatal_child_is_told_and_so_is_that_it_runs_again(project: Make) -> None:
    with target() as server:
        mine = project(to(server) + BROKEN, CODE)
        with mine.supervisor() as supervisor:
            told = server.wait_for("fatal")
            about = supervisor.status()["supervisor"]
            assert (told["child"], told["count"]) == ("broken", 1)
            assert "missing" in told["text"]
            assert told["supervisor"] == {"version": about["version"], "run_id": about["run_id"]}
            mine.write("mine.py", CODE + "\ndef missing(): pass\n")
            supervisor.request("POST", "/v1/children/broken/restart", {})
            assert server.wait_for("recovered")["child"] == "broken"
            assert server.received == server.accepted
            assert [body["kind"] for body in server.received] == ["fatal", "recovered"]


def test_a_crash_loop_is_told_and_the_recovery_when_the_child_is_stable(project: Make) -> None:
    with target() as server:
        mine = project(to(server) + CRASHES, CODE)
        with mine.supervisor() as supervisor:
            told = server.wait_for("crash_loop")
            assert "3 failures within 600 s" in told["text"]
            mine.write("healed", "")
            assert server.wait_for("recovered")["child"] == "crashes"
            assert supervisor.child("crashes")["restarts"] == 0
            assert [body["kind"] for body in server.received] == ["crash_loop", "recovered"]


def test_a_task_of_which_no_run_ends_well_is_overdue(project: Make) -> None:
    late = '[tasks.late]\nrun = "mine:late"\nevery = "1s"\nexpect_within = "2s"\n'
    code = CODE + '\ndef late():\n    assert os.path.exists(os.path.join(HERE, "healed"))\n'
    with target() as server:
        mine = project(to(server) + late, code)
        with mine.supervisor():
            assert "no run has ended well" in server.wait_for("overdue")["text"]
            mine.write("healed", "")
            assert server.wait_for("recovered")["child"] == "late"


def test_a_child_that_waits_too_long_for_what_it_depends_on_is_overdue(project: Make) -> None:
    reader = (
        '[consumers.reader]\nhandler = "mine:store"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'
        'bootstrap_servers = "127.0.0.1:1"\n'
    )
    with target() as server:
        mine = project(to(server, 'overdue_after = "1s"') + reader, CODE + "\ndef store(record): pass\n")
        with mine.supervisor():
            told = server.wait_for("overdue")
            assert told["child"] == "reader"
            assert "not ready for" in told["text"]


def test_dead_letters_are_told_as_two_alerts_however_many_they_are(project: Make) -> None:
    reader = (
        '[consumers.reader]\nhandler = "mine:store"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'
        'dead_letter_topic = "t.dlq"\nretries = 0\n'
    )
    with target() as server:
        mine = project(to(server) + reader, CODE + "\ndef store(record): raise ValueError(record.value)\n")
        with mine.supervisor() as supervisor:
            supervisor.wait_ready()
            produce(mine, 1)
            told = server.wait_for("dead_letter")
            assert told["child"] == "reader"
            assert "ValueError" in told["text"]
            produce(mine, 29)
            eventually(lambda: supervisor.stderr.count("dead letter: t:") >= 30, within=60)
            shown = supervisor.cli("logs", "reader", "--since", "1h").stdout
            assert supervisor.stop() == 0  # what was folded meanwhile is told at the end
            assert [text.count("to t.dlq after") for text in (shown, supervisor.stderr)] == [30, 30]
        assert [body["kind"] for body in server.received] == ["dead_letter"] * 2
        assert [body["count"] for body in server.received] == [1, 29]


def produce(mine: Project, count: int) -> None:
    address = eventually(lambda: read(str(mine.state / "broker.json")))
    assert address is not None
    Kafka(address.bootstrap_servers, True, str).produce("t", list(range(count)))


def test_only_what_was_asked_for_is_told(project: Make) -> None:
    with target() as server:
        mine = project(to(server, 'on = ["fatal"]') + BROKEN + CRASHES, CODE)
        with mine.supervisor() as supervisor:
            server.wait_for("fatal")
            supervisor.wait_child("crashes", lambda child: child["restarts"] >= 4)
            assert supervisor.stop() == 0
        assert [body["kind"] for body in server.received] == ["fatal"]


def test_while_the_target_hangs_everything_else_goes_on(project: Make) -> None:
    tick = '[tasks.tick]\nrun = "mine:tick"\nevery = "1s"\n'
    with target() as server:
        server.hang()
        mine = project(to(server) + BROKEN + tick, CODE)
        with mine.supervisor() as supervisor:
            eventually(lambda: server.received, within=60)
            before = len(mine.lines("ticks"))
            assert supervisor.child("broken")["state"] == "fatal"
            eventually(lambda: len(mine.lines("ticks")) > before + 1, within=60)
            eventually(lambda: "alerts cannot be delivered: http://127.0.0.1" in notes(supervisor), within=60)
            server.go_on()
            server.wait_for("fatal")
            eventually(lambda: "alerts cannot" not in notes(supervisor), within=60)
            assert supervisor.stop() == 0
        assert "no answer within 8 s" in supervisor.stderr
        one_line_each(supervisor)


def one_line_each(supervisor: Supervisor) -> None:
    """One when it began to fail, one when it worked again; and the address is nowhere."""
    assert supervisor.stderr.count("cannot be delivered") == 1
    assert supervisor.stderr.count("are delivered again") == 1
    assert "canary" not in supervisor.stderr


def test_a_target_that_fails_and_comes_back_gets_everything(project: Make) -> None:
    with target() as server:
        server.status = 500
        mine = project(to(server) + BROKEN + CRASHES, CODE)
        with mine.supervisor() as supervisor:
            eventually(lambda: len(server.received) > 2, within=60)
            said = notes(supervisor)
            assert "HTTP 500" in said
            assert "canary" not in said
            server.status = 204
            server.wait_for("fatal")
            server.wait_for("crash_loop")
            assert supervisor.stop() == 0
        one_line_each(supervisor)
        assert "canary" not in (mine.state / "logs" / "supervisor.log").read_text()


def test_a_target_that_is_not_there_yet_gets_it_later(project: Make) -> None:
    with target(refusing=True) as server:
        mine = project(to(server) + BROKEN, CODE)
        with mine.supervisor() as supervisor:
            eventually(lambda: "Connection refused" in notes(supervisor), within=60)
            server.open()
            server.wait_for("fatal")
            assert supervisor.stop() == 0
        one_line_each(supervisor)


def test_a_new_address_takes_over_what_waits(project: Make) -> None:
    with target(refusing=True) as old, target() as new:
        mine = project(to(old) + CRASHES, CODE)
        with mine.supervisor() as supervisor:
            eventually(lambda: "Connection refused" in notes(supervisor), within=60)
            mine.configure(to(new) + CRASHES)
            reply = supervisor.request("POST", "/v1/reload", {})[1]
            assert [change["what"] for change in reply["plan"]] == ["alerts.url changed"]
            new.wait_for("crash_loop")
            assert "alerts cannot" not in notes(supervisor)


def test_the_end_does_not_wait_for_a_target_that_hangs(project: Make) -> None:
    with target() as server:
        server.hang()
        with project(to(server) + BROKEN, CODE).supervisor() as supervisor:
            eventually(lambda: server.received, within=60)
            assert supervisor.stop() == 0
        assert server.hanging.is_set()
        assert "1 alerts were not delivered before the end" in supervisor.stderr
        assert not of_this_session("forkwarden: alert")


def test_what_ends_the_supervisor_is_told_before_the_end(project: Make) -> None:
    with target() as server:
        config = to(server).replace("watch = false", 'watch = false\non_crash_loop = "exit"')
        with project(config + CRASHES, CODE).supervisor() as supervisor:
            assert supervisor.wait(60) == 1
        assert [body["kind"] for body in server.accepted] == ["crash_loop"]


def test_a_command_is_told_too_and_one_that_fails_does_not_hold_up_the_url(project: Make) -> None:
    with target() as server:
        fails = 'command = ["sh", "-c", "cat >> told; test -e healed"]'
        mine = project(to(server, fails) + BROKEN, CODE)
        with mine.supervisor() as supervisor:
            server.wait_for("fatal")
            eventually(lambda: "sh exited with 1" in notes(supervisor), within=60)
            mine.write("healed", "")
            eventually(lambda: "alerts to sh are delivered again" in supervisor.stderr, within=60)
        first, *_ = read_all((mine.folder / "told").read_text())
        assert first == server.received[0]


def read_all(text: str) -> list[Any]:
    """Return the JSON values that stand one after the other."""
    found, decoder = [], json.JSONDecoder()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_a_command_that_is_missing_is_one_clear_line(project: Make) -> None:
    config = CONFIG.format(alerts='command = ["./no-such-program"]')
    with project(config + BROKEN, CODE).supervisor() as supervisor:
        eventually(lambda: "alerts cannot be delivered" in notes(supervisor), within=60)
        assert supervisor.stop() == 0
    line = "alerts cannot be delivered to no-such-program: no-such-program: No such file or directory"
    assert supervisor.stderr.count(line) == 1
