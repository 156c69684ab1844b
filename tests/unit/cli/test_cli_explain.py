"""Why a child is as it is, in words."""

from __future__ import annotations

import pytest

from supervisor.cli.explain import Found, explained
from supervisor.cli.group import GROUPS
from supervisor.core.words import width
from supervisor.logs import local
from support.statuses import NOW, ORDERS, TASK1, TASK2, child, down, stamp


def test_a_child_in_backoff_says_all_that_is_known() -> None:
    detail = {
        **TASK1,
        "last_exit": {"cause": "crash", "reason": "exit code 1", "code": 1, "time": stamp(NOW - 4), "phase": "running"},
        "lived": 0.03,
        "failures": {
            "in_row": 3,
            "total": 5,
            "same_error": 3,
            "first": stamp(NOW - 330),
            "crash_loop": False,
            "recent": 3,
            "limit": 5,
            "window": 600.0,
            "on_crash_loop": "fatal",
        },
        "section": "[tasks.task1]",
        "target": "tasks.task1:run",
    }
    found = Found("ConnectionError: [Errno 111] refused", "tasks/task1.py:18 in run", "tasks/task1.py", NOW - 540)
    assert explained(detail, ["14:07:14.00 fetching invoices", "14:07:14.02 ERROR could not connect"], NOW, found) == [
        "task1 is in backoff: ConnectionError: db:5432 refused. 3 failures in a row. Next try in 8s.",
        "  means       it ended by itself, or by a signal that was not the supervisor's",
        f"  last exit   crash (code 1) at {_clock(NOW - 4)}, 4s ago, 0.03s after its start",
        "              exit code 1",
        "              while running",
        f"  failures    3 in a row, 5 in all, the first at {_clock(NOW - 330)}, 5m ago, the same error 3 times",
        "              3 so far of 5 within 10m that are a crash loop; then it is given up (on_crash_loop = fatal)",
        "  last run    failed 4s ago, took 0.03s",
        "              ConnectionError",
        "  error       ConnectionError: [Errno 111] refused   tasks/task1.py:18 in run",
        "  last lines  14:07:14.00 fetching invoices",
        "              14:07:14.02 ERROR could not connect",
        "  config      config.toml:47  [tasks.task1]  every 5m",
        "  code        tasks/task1.py (changed 9m ago), tasks.task1:run",
        "  try         supervisor report task1",
        "              supervisor logs task1",
        "              supervisor run task1 --local   (in this terminal, breakpoint() works)",
        "              supervisor restart task1   (now, the count begins again)",
        "              supervisor disable task1",
    ]


def test_a_consumer_that_is_paused_by_hand_says_so_and_what_ends_it() -> None:
    said = explained({**ORDERS, "paused_by": {"who": "alice", "since": stamp(NOW - 300)}}, [], NOW)
    assert "Paused by hand by alice, 5m ago" in said[0]
    assert "keeps its partitions, and takes nothing new" in "\n".join(said)
    assert next(each for each in said if each.startswith("  try")) == "  try         supervisor kafka resume orders"


def test_a_consumer_that_is_refused_says_what_to_grant() -> None:
    waiting = 'no right to read as group "g": grant READ on the group'
    said = "\n".join(explained({**ORDERS, "state": "running", "waiting": waiting}, [], NOW))
    assert "may not read as this group" in said
    assert "--operation Read --group g" in said


def test_a_process_that_asked_to_be_replaced_for_a_stall_is_news_though_all_is_well_again() -> None:
    last = {"cause": "planned", "code": 0, "time": stamp(NOW - 60), "phase": "standing still", "subject": "t"}
    last |= {"partition": 3, "offset": 120, "reason": "recycle: t[3] has stood at 120"}
    said = "\n".join(explained({**ORDERS, "state": "running", "waiting": None, "last_exit": last}, [], NOW))
    assert "recycle: t[3] has stood at 120" in said
    assert "while standing still t[3]@120" in said
    last |= {"phase": "closing"}
    assert "has stood" not in "\n".join(
        explained({**ORDERS, "state": "running", "waiting": None, "last_exit": last}, [], NOW)
    )


def _clock(at: float) -> str:
    return local(stamp(at)).partition(".")[0]


def _ended(cause: str, reason: str, **fields: object) -> dict[str, object]:
    return {"cause": cause, "reason": reason, "code": None, "signal": 9, "time": stamp(NOW - 4), **fields}


BACKOFF = {"state": "backoff", "next_try": stamp(NOW + 8), "restarts": 2}
PARTITION = {"topic": "orders", "partition": 2, "position": 114, "lag": 3, "paused": True}
# A child as its detail says it; what its headline, its meaning and the first thing to try must contain.
TROUBLES = {
    "crash": (
        down("a", **BACKOFF, last_exit=_ended("crash", "killed by SIGSEGV", signal=11)),
        ("is in backoff: killed by SIGSEGV", "native code crashed", "supervisor report a"),
    ),
    "a kill from outside": (
        down("a", **BACKOFF, last_exit=_ended("crash", "killed by SIGKILL (not by us)")),
        ("killed by SIGKILL (not by us)", "something outside sent SIGKILL", "supervisor report a"),
    ),
    "an end with 0": (
        down("a", **BACKOFF, last_exit=_ended("crash", "exited 0, which nobody asked for", code=0, signal=None)),
        ("exited 0, which nobody asked for", "sys.exit() or os._exit()", "supervisor report a"),
    ),
    "a module that raises": (
        down("a", **BACKOFF, last_exit=_ended("crash", "exited with 1: x", code=1, signal=None, phase="loading")),
        ("exited with 1: x", "importing its module failed", "supervisor report a"),
    ),
    "switched off in the file": (
        child("a", state="stopped", enabled=False, ready=False, where="config.toml:82"),
        ("a is disabled", "enabled = false stands in config.toml:82", "supervisor enable a"),
    ),
    "out of memory": (
        down("a", **BACKOFF, last_exit=_ended("oom", "killed by the kernel: out of memory")),
        ("out of memory", "memory ran out", "supervisor report a   (its memory)"),
    ),
    "hung": (
        down("a", **BACKOFF, last_exit=_ended("hung", "no heartbeat for 20 s")),
        ("no heartbeat for 20 s", "it was stopped, or C code", "supervisor report a   (its stacks)"),
    ),
    "a run that was killed for its time": (
        child("a", last_exit=_ended("timed_out", "timed out: running x for 7 s"), last_run={"state": "timed_out"}),
        ("a is running", "a run went on beyond its timeout", "supervisor report a   (its stacks)"),
    ),
    "stuck": (
        down("a", **BACKOFF, last_exit=_ended("stuck", "no progress: running x for 5 s, 5 s allowed")),
        ("no progress: running", "its main thread stayed in one step", "supervisor report a   (its stacks)"),
    ),
    "start timeout": (
        down("a", **BACKOFF, last_exit=_ended("start_timeout", "did not become ready within 60 s")),
        ("did not become ready", "done at import takes long", "supervisor report a   (its stacks)"),
    ),
    "still starting": (
        child("a", state="starting", ready=False, phase="loading"),
        ("a is starting", "loading", "supervisor stack a"),
    ),
    "an import error": (
        down("a", state="fatal", last_exit=_ended("config", "ModuleNotFoundError: No module named 'stripe'", code=78)),
        ("No module named 'stripe'. Not tried again until", "no retry can mend it", "supervisor check"),
    ),
    "waiting for the broker": (
        {**ORDERS, "waiting": "broker db:9092: Connection refused"},
        ("orders is waiting: broker db:9092", "waits for Kafka", "supervisor config show"),
    ),
    "waiting for the embedded broker, which is off": (
        {**ORDERS, "waiting": "the embedded broker is disabled", "remedy": "supervisor enable broker"},
        (
            "orders is waiting: the embedded broker is disabled",
            "when the embedded broker serves",
            "supervisor enable broker",
        ),
    ),
    "waiting for a database": (
        {**ORDERS, "waiting": "what the handler needs is away: OperationalError: connection refused"},
        ("orders is waiting: what the handler needs", "waits for its database", "supervisor config show"),
    ),
    "waiting for its group": (
        {**ORDERS, "waiting": 'its partitions from group "g"'},
        ("orders is waiting: its partitions", "it runs and waits; it goes on", "supervisor logs -f orders"),
    ),
    "a paused partition": (
        {**ORDERS, "partitions": [PARTITION]},
        ("orders is running", "orders[2] at 114: paused at a record", "supervisor logs orders --level error"),
    ),
    "a partition that its handler stopped": (
        {**ORDERS, "partitions": [PARTITION], "note": "orders:2:114: StopPartition: the books do not balance"},
        ("orders is running", "until it is restarted", "supervisor logs orders --level error"),
    ),
    "a paused task": (
        child("a", facts={"paused": "by order"}),
        ("a is running, but its runs are paused", "a run that succeeds resumes them", "supervisor history a"),
    ),
    "disabled by an override": (
        TASK2,
        (
            "disabled. Disabled at run time by alice for another 2h: db migration",
            "every 15m",
            "supervisor enable task2",
        ),
    ),
    "a crash loop": (
        down(
            "a",
            **BACKOFF,
            last_exit=_ended("crash", "exited with 1", code=1, signal=None),
            failures={"in_row": 10, "limit": 10, "window": 600.0, "crash_loop": True, "on_crash_loop": "hold"},
        ),
        ("exited with 1", "crash loop: 10 within 10m; it goes on at the longest wait", "supervisor report a"),
    ),
    "given up after a crash loop": (
        down(
            "a",
            state="fatal",
            reason="crash loop: exited with 1",
            last_exit=_ended("crash", "exited with 1", code=1, signal=None),
        ),
        ("crash loop: exited with 1. Not tried again", "ended by itself", "supervisor report a"),
    ),
    "no process to be had": (
        down("a", **BACKOFF, last_exit=_ended("not_forked", "could not be forked: EAGAIN")),
        ("could not be forked", "the machine refused", "ulimit -a"),
    ),
    "unkillable": (
        child("a", state="stopping", ready=False, reason="cannot be killed: 4212 is in the kernel's hands", pid=4212),
        ("cannot be killed: 4212", "no second copy starts before it is gone", "cat /proc/4212/wchan"),
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_says_what_it_is_and_what_to_type(trouble: str) -> None:
    detail, (headline, meaning, first) = TROUBLES[trouble]
    told = explained(detail, [], NOW)
    assert headline in told[0]
    assert any(meaning in text for text in told[1:]), told
    steps = [text[14:] for text in told[[text[2:5] for text in told].index("try") :]]
    assert steps[0].startswith(first)
    verbs = {verb for group in GROUPS.values() for verb in group}
    assert {step.split()[1] for step in steps if step.startswith("supervisor ")} <= verbs


def test_a_child_that_is_well_is_given_no_meaning_and_no_old_stacks() -> None:
    told = "\n".join(explained(child("a", stacks='File "/x.py", line 1 in f', last_exit=_ended("crash", "x")), [], NOW))
    assert "means" not in told
    assert "x.py" not in told


def test_the_stacks_of_a_hang_are_shown_without_what_every_child_has_below() -> None:
    dump = 'Current thread 0x1 (most recent call first):\n  File "/app/mine.py", line 5 in deaf\n'
    dump += '  File "/app/supervisor/parent/main.py", line 9 in main\n'
    told = explained(down("a", **BACKOFF, stacks=dump, last_exit=_ended("stuck", "no progress")), [], NOW)
    assert any("mine.py" in text for text in told)
    assert not any("parent/main.py" in text for text in told)


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_what_is_long_goes_on_under_its_own_column(columns: int) -> None:
    error = "OperationalError: connection to server at 10.0.0.1, port 5432 failed: Connection refused, is it running?"
    detail = {**TASK1, "last_error": error, "last_run": {"state": "failed", "error": error}}
    told = explained(detail, ["14:07:14.00 " + "fetching invoices " * 9], NOW, columns=columns)
    assert max(map(width, told)) <= columns
    at = next(index for index, text in enumerate(told) if text.startswith("  means"))
    assert all(text.startswith("  ") for text in told[1:at]), "the headline goes on behind an indent"
    assert all(text[2:12].strip() in LABELS or text.startswith(" " * 14) for text in told[at:])
    whole = " ".join(" ".join(explained(detail, [], NOW)).split())
    assert " ".join(error.split()) in " ".join(" ".join(told).split()), whole


LABELS = ("means", "last exit", "last run", "error", "doing", "last lines", "config", "code", "try")


def test_a_planned_end_is_no_news_of_one_that_is_well() -> None:
    ended = _ended("planned", "disabled by root", code=0, signal=None)
    assert not any("last exit" in text for text in explained(child("a", last_exit=ended), [], NOW))
    off = child("a", state="stopped", enabled=False, pid=None, last_exit=ended)
    assert any("planned" in text for text in explained(off, [], NOW))
    crashed = child("a", last_exit=_ended("crash", "killed by SIGSEGV"))
    assert any("crash" in text for text in explained(crashed, [], NOW))


def test_a_disabled_child_says_who_and_how_to_enable_it() -> None:
    told = explained(TASK2, [], NOW)
    assert told[0] == "task2 is disabled. Disabled at run time by alice for another 2h: db migration."
    assert told[-1] == "  try         supervisor enable task2"


def test_a_consumer_says_where_it_reads() -> None:
    parts = [{"topic": "orders", "partition": 2, "position": 114, "lag": 3, "paused": True}]
    told = explained({**ORDERS, "partitions": parts, "phase": "handling", "subject": "orders"}, [], NOW)
    assert "  doing       handling orders for 1s, pid 4211" in told
    assert "  reads       orders[2] at 114, lag 3, paused" in told


def test_beyond_the_limit_of_dead_letters_it_says_which_key_raises_it() -> None:
    note = "orders:2:114: LetterHeld: 50 dead letters in a row (dead_letter_limit.consecutive = 50)"
    told = "\n".join(explained({**ORDERS, "partitions": [PARTITION], "note": note}, [], NOW))
    assert "tried again from time to time" in told
    assert "supervisor restart orders   (after the fix" in told
    assert "dead_letter_limit in config.toml" in told
    assert "dead_letter_topic in config.toml" not in told


def test_records_that_were_not_simply_handled_are_counted() -> None:
    told = explained({**ORDERS, "outcomes": {"dead_letters": 3, "skipped": 1}}, [], NOW)
    assert "  outcomes    3 dead letters, 1 skipped" in told


def test_a_position_that_is_not_known_yet_is_a_dash() -> None:
    parts = [{"topic": "orders", "partition": 2, "position": None, "lag": None, "paused": False}]
    assert "  reads       orders[2] at -, lag -" in explained({**ORDERS, "partitions": parts}, [], NOW)


def test_what_a_child_says_of_itself_and_a_dead_member_that_stays_are_told() -> None:
    last = {"cause": "crash", "reason": "SIGSEGV", "signal": 11, "not_evicted": "its dead member is still in group"}
    told = explained({**ORDERS, "note": "the partition is paused", "last_exit": last}, [], NOW)
    assert "  note        the partition is paused" in told
    assert "              its dead member is still in group" in told


def test_a_crash_while_handling_names_the_record() -> None:
    last = {"cause": "crash", "reason": "SIGSEGV", "signal": 11, "phase": "handling", "subject": "orders"}
    told = explained({**ORDERS, "last_exit": {**last, "partition": 1, "offset": 7}}, [], NOW)
    assert "              while handling orders[1]@7" in told
    assert "  last exit   crash (signal 11)" in told


def test_a_fatal_child_says_that_it_is_not_tried_again() -> None:
    told = explained(child("a", state="fatal", last_error="no module x"), [], NOW)
    assert told[0].startswith("a is fatal: no module x. Not tried again until")


def test_nothing_of_it_is_a_control() -> None:
    evil = "\x1b[2J\r\n\x9b"
    keys = ("waiting", "reason", "last_error", "where", "schedule", "stacks", "phase", "subject", "target", "section")
    fields = dict.fromkeys(keys, evil)
    override = {"enabled": True, "who": evil, "note": evil}
    detail = child(evil, **fields, override=override, last_exit={"cause": evil, "reason": evil}, restarts=1)
    told = explained(detail, [evil], NOW, Found(evil, evil, evil, NOW))
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in "".join(told))
