"""One answer a second for all requests, and none of them held up by a supervisor that does not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import NotRunning, TimedOut
from supervisor.fastapi.answers import STALE, Answer, Answers
from support.stand_in import StandIn

WELL = {"name": "one", "group": "one", "state": "running", "ready": True, "enabled": True, "wanted": True}
BAD = {**WELL, "name": "two", "group": "two", "state": "backoff", "ready": False, "last_error": "no\x1b[31m way"}
OFF = {**WELL, "name": "off", "group": "off", "state": "stopped", "ready": False, "enabled": False, "wanted": False}
MEMBER = {**BAD, "name": "orders:2", "group": "orders"}
STATUS = {"supervisor": {"state": "running"}, "children": [WELL, BAD, OFF, MEMBER]}


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(tmp_path / "config.toml")


def problems(answers: Answers, *names: str) -> list[str]:
    return asyncio.run(answers.get()).problems(names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["one"], []),
        (["off"], []),
        (["two"], [r"two is in backoff: no\x1b[31m way"]),
        (["orders"], [r"orders:2 is in backoff: no\x1b[31m way"]),
        (["one", "twoo"], ["there is no child 'twoo'; did you mean 'two'?"]),
        ([], [r"two is in backoff: no\x1b[31m way", r"orders:2 is in backoff: no\x1b[31m way"]),
    ],
)
def test_a_child_is_judged_by_name_or_group(config: str, names: list[str], expected: list[str]) -> None:
    assert problems(Answers(config, lambda config: STATUS), *names) == expected


def test_the_supervisor_is_asked_once_for_many_requests(tmp_path: Path, config: str) -> None:
    async def many(answers: Answers) -> list[Answer]:
        return await asyncio.gather(*(answers.get() for _ in range(200)))

    with StandIn(tmp_path / ".supervisor", lambda method, path, body: (200, STATUS)) as supervisor:
        found = asyncio.run(many(Answers(config)))
    assert [answer.status for answer in found] == [STATUS] * 200
    assert supervisor.asked == [("GET", "/v1/status", {})]


def test_an_answer_counts_for_a_second(config: str) -> None:
    now, asked = [100.0], []
    answers = Answers(config, lambda config: asked.append(config) or STATUS, lambda: now[0])
    for moment, expected in ((100.0, 1), (100.9, 1), (101.0, 2), (101.5, 2), (500.0, 3)):
        now[0] = moment
        assert asyncio.run(answers.get()).status == STATUS
        assert len(asked) == expected


def test_why_it_does_not_run_is_what_its_keeper_says(config: str) -> None:
    def none(config: str) -> dict[str, Any]:
        raise NotRunning("the supervisor is not running")

    answers = Answers(config, none)
    assert problems(answers) == problems(answers, "one") == ["the supervisor is not running"]
    told = Answers(config, none)
    told.reason = lambda: "the supervisor does not start: config.toml:3: wrong"
    assert problems(told) == ["the supervisor does not start: config.toml:3: wrong"]


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """A socket that takes clients and never answers, as that of a stopped process; how many came."""
    (tmp_path / ".supervisor").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".supervisor" / "ctl.sock"))
        listener.listen()
        listener.setblocking(False)
        clients: list[socket.socket] = []

        def came() -> int:
            try:
                while True:
                    clients.append(listener.accept()[0])
            except BlockingIOError:
                return len(clients)

        yield came
        for client in clients:
            client.close()


def test_a_frozen_supervisor_does_not_stop_the_event_loop(config: str, frozen: Callable[[], int]) -> None:
    async def serve(answers: Answers) -> tuple[list[Answer], int]:
        waiting = [asyncio.create_task(answers.get()) for _ in range(50)]
        turns = 0
        while not all(task.done() for task in waiting):
            await asyncio.sleep(0.01)
            turns += 1
        return [task.result() for task in waiting], turns

    found, turns = asyncio.run(serve(Answers(config)))
    assert all("did not answer in time" in answer.problem for answer in found)
    assert turns > 5, "other requests were served meanwhile"
    assert frozen() == 1, "50 requests, one question"


def test_what_is_known_to_be_frozen_is_waited_for_once(config: str) -> None:
    """The second question is never answered here: who gets an answer all the same did not wait for it."""
    free, asked, now = threading.Event(), [], [100.0]

    def ask(config: str) -> dict[str, Any]:
        asked.append(config)
        if len(asked) > 1:
            free.wait(60)
            return STATUS
        raise TimedOut("frozen")

    async def ask_again(answers: Answers) -> list[str]:
        found = [(await answers.get()).problem]
        for now[0] in (101.0, 102.0, 100.0 + STALE - 0.1):
            found.append((await answers.get()).problem)
        now[0] = 100.0 + STALE
        late = asyncio.create_task(answers.get())
        await asyncio.sleep(0)
        free.set()
        return [*found, (await late).problem]

    assert asyncio.run(ask_again(Answers(config, ask, lambda: now[0]))) == ["frozen"] * 4 + [""]
    assert len(asked) == 2


def test_a_client_that_leaves_takes_nobody_elses_answer_away(config: str) -> None:
    free = threading.Event()

    def ask(config: str) -> dict[str, Any]:
        assert free.wait(60)
        return STATUS

    async def two(answers: Answers) -> Answer:
        leaves, stays = asyncio.create_task(answers.get()), asyncio.create_task(answers.get())
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.sleep(0)
        free.set()
        return await stays

    assert asyncio.run(two(Answers(config, ask))).status == STATUS


def test_it_can_be_asked_from_one_event_loop_after_another(config: str) -> None:
    answers = Answers(config, lambda config: STATUS)
    assert asyncio.run(answers.get()) == asyncio.run(answers.get())
