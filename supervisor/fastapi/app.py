"""RUNS IN A WEB PROCESS: what an application puts in: its lifespan, its routes, its dependencies."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, cast

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from supervisor.client import config_file
from supervisor.fastapi import thread
from supervisor.fastapi.answers import Answers
from supervisor.fastapi.keeper import Keeper

log = logging.getLogger("supervisor.fastapi")

Config = str | os.PathLike[str] | None
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]
FIRST_LOOK = 0.3  # seconds: a web server whose port is in use is gone again by then
AFTER_A_BUG = 5.0
LEAVE_WITHIN = 2.0  # seconds: a disk that hangs must not hold up the end of the web server, which lets go of all
_STATE = "forkwarden_answers"  # in app.state
_known: dict[str, Answers] = {}  # by config.toml: all applications of this process share them
_latest: list[Answers] = []  # of the lifespans of this process: for applications that are mounted in another one


def lifespan(config: Config = None, *, inner: Lifespan | None = None) -> Lifespan:
    """Return a lifespan for FastAPI(lifespan=…): while the application lives, the supervisor of `config` does.

    `config`: a path; by default FORKWARDEN_CONFIG, else ./config.toml. `inner`: your own lifespan; it is entered
    before the supervisor is started, and left after it is let go. Whatever is wrong is logged and shown by
    /background/health: the application starts all the same.
    """
    if isinstance(config, FastAPI):  # FastAPI(lifespan=lifespan): called by the framework
        return cast(Lifespan, lifespan(inner=inner)(config))

    @asynccontextmanager
    async def around(app: FastAPI) -> AsyncIterator[Any]:
        async with inner(app) if inner else nullcontext() as state, _kept(config_file(config)) as answers:
            setattr(app.state, _STATE, answers)
            yield state

    return around


def router(config: Config = None, *, prefix: str = "/background", **options: Any) -> APIRouter:
    """Return GET /background/health (200, or 503 with the problems) and GET /background/status (all there is to know).

    `options` are those of APIRouter: dependencies=[Depends(your_login)] shows the status to your people only.
    """
    routes = APIRouter(prefix=prefix, **{"tags": ["background"], **options})

    @routes.get("/health")
    async def health(connection: HTTPConnection) -> JSONResponse:
        """Say whether everything that is enabled runs."""
        problems = (await _answers(connection, config).get()).problems()
        return JSONResponse({"ok": not problems, "problems": problems}, 503 if problems else 200)

    @routes.get("/status")
    async def status(connection: HTTPConnection) -> JSONResponse:
        """Show what runs, what ran, what runs next: as `supervisor status --json` does."""
        answer = await _answers(connection, config).get()
        if answer.status is None:
            return JSONResponse({"detail": answer.problem}, 503)
        return JSONResponse(answer.status)

    return routes


def healthy(*names: str, config: Config = None) -> Callable[[HTTPConnection], Awaitable[None]]:
    """Return a dependency that answers 503, and why, while one of these children is unhealthy; no name: while any is.

    A child that is disabled on purpose is healthy.
    """

    async def check(connection: HTTPConnection) -> None:
        problems = (await _answers(connection, config).get()).problems(names)
        if problems:
            raise HTTPException(503, "; ".join(problems), {"Retry-After": "1"})

    return check


@asynccontextmanager
async def _kept(config: str) -> AsyncIterator[Answers]:
    keeper, answers, leave = Keeper(config, draw=random.random), _answers_of(config), asyncio.Event()
    answers.reason = lambda: keeper.problem
    _latest.append(answers)
    keeping = asyncio.create_task(_keep(keeper, leave), name="supervisor.fastapi")
    try:
        yield answers
    finally:
        _latest.remove(answers)
        leave.set()
        await asyncio.wait({keeping}, timeout=LEAVE_WITHIN)
        keeping.cancel()


async def _keep(keeper: Keeper, leave: asyncio.Event) -> None:
    wait = FIRST_LOOK
    while not await _set_within(leave, wait):
        try:
            wait = await thread.finished(thread.begin(keeper.look))
        except Exception:  # a bug of ours must neither end this nor the web server
            log.exception("a bug of ours in keeping the supervisor alive; trying on")
            wait = AFTER_A_BUG
    keeper.release()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _answers(connection: HTTPConnection, config: Config) -> Answers:
    if config is not None:
        return _answers_of(config_file(config))
    found = getattr(connection.app.state, _STATE, None) or (_latest[-1] if _latest else None)
    return found or _answers_of(config_file(None))  # without a lifespan of ours: somebody else runs the supervisor


def _answers_of(config: str) -> Answers:
    return _known.setdefault(config, Answers(config))
