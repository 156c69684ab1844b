"""A traceback, and a dump of a process that hung or crashed, name the line of the user's own code."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.culprit import guilty, latest, module_file, readable

TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/supervisor/child/schedule/attempt.py", line 80, in run
    value = call()
  File "/srv/app/tasks/task1.py", line 18, in run
    connect(host)
  File "/srv/app/.venv/lib/python3.11/site-packages/db/client.py", line 7, in connect
    raise ConnectionError(text)
ConnectionError: [Errno 111] db:5432 refused
"""
DUMP = """Fatal Python error: Segmentation fault

Thread 0x00007f6ae60846c0 (most recent call first):
  File "/srv/app/supervisor/child/heartbeat.py", line 54 in _run

Current thread 0x00007f6ae6f48040 (most recent call first):
  File "/srv/app/tasks/images.py", line 5 in shrink
  File "/srv/app/tasks/images.py", line 40 in run
  File "/srv/app/supervisor/child/main.py", line 66 in _run
"""


def test_the_innermost_own_frame_of_a_traceback_is_guilty() -> None:
    assert guilty(TRACEBACK, "/srv/app") == "tasks/task1.py:18 in run"


def test_the_innermost_own_frame_of_a_dump_is_guilty() -> None:
    assert guilty(DUMP, "/srv/app/") == "tasks/images.py:5 in shrink"


HUNG = """\
Thread 0x00007f6ae60846c0 (most recent call first):
  File "/srv/app/supervisor/child/heartbeat.py", line 54 in _run

Thread 0x00007f6ae60846c1 (most recent call first):
  File "/srv/app/tasks/helper.py", line 9 in wait

Thread 0x00007f6ae6f48040 (most recent call first):
  File "/srv/app/tasks/images.py", line 5 in shrink
  File "/srv/app/supervisor/child/main.py", line 66 in _run
"""


def test_of_a_dump_the_main_thread_is_first_and_the_heartbeat_last() -> None:
    assert readable(HUNG) == [
        "Thread 0x00007f6ae6f48040 (most recent call first):",
        '  File "/srv/app/tasks/images.py", line 5 in shrink',
        "Thread 0x00007f6ae60846c1 (most recent call first):",
        '  File "/srv/app/tasks/helper.py", line 9 in wait',
        "Thread 0x00007f6ae60846c0 (most recent call first):",
        '  File "/srv/app/supervisor/child/heartbeat.py", line 54 in _run',
    ]
    assert guilty(HUNG, "/srv/app") == "tasks/images.py:5 in shrink"


def test_of_a_crash_the_thread_that_crashed_is_first() -> None:
    other = HUNG.replace("Thread 0x00007f6ae60846c1", "Current thread 0x00007f6ae60846c1")
    assert guilty(other, "/srv/app") == "tasks/helper.py:9 in wait"
    assert [text for text in readable(DUMP) if not text.startswith(" ")] == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x00007f6ae6f48040 (most recent call first):",
        "Thread 0x00007f6ae60846c0 (most recent call first):",
    ]


def test_code_of_others_is_never_guilty() -> None:
    assert guilty(TRACEBACK, "/elsewhere") is None
    assert guilty("no frame", "/srv/app") is None


def test_the_error_is_the_one_below_the_last_traceback() -> None:
    older = TRACEBACK.replace("18", "3").replace("refused", "away")
    assert latest([older, TRACEBACK, "no traceback", None], "/srv/app") == (
        "ConnectionError: [Errno 111] db:5432 refused",
        "tasks/task1.py:18 in run",
    )
    assert latest(["x", None], "/srv/app") is None
    several = latest([TRACEBACK + "\tand more of the same error\n[SQL: SELECT 1]\n"], "/srv/app")
    assert several is not None
    assert several[0] == "ConnectionError: [Errno 111] db:5432 refused"


def test_what_this_python_writes_is_understood() -> None:
    import traceback

    try:
        number = sys._getframe().f_lineno + 1
        int("x")
    except ValueError:
        text = traceback.format_exc()
    folder = __file__.rpartition("/")[0]
    assert guilty(text, folder) == f"test_culprit.py:{number} in test_what_this_python_writes_is_understood"


def test_a_module_has_two_places() -> None:
    assert module_file("tasks.task1:run") == ("tasks/task1.py", "tasks/task1/__init__.py")


@given(st.text(), st.text(max_size=20))
def test_any_text_is_read(text: str, project: str) -> None:
    guilty(text, project)
    readable(text)
    latest([text], project)
