"""Resources by parameter name: every kind of factory, closed on every path, in functions and coroutines."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from supervisor.child.loader import LoadError
from supervisor.child.resources import ResourceCloseFailed, Resources, ResourceUnavailable

SEEN: list[str] = []


class Connection:
    def close(self) -> None:
        SEEN.append("closed")


class AsyncConnection:
    async def aclose(self) -> None:
        SEEN.append("aclosed")


class Session:
    def __enter__(self) -> Session:
        SEEN.append("entered")
        return self

    def __exit__(self, kind: Any, error: Any, tb: Any) -> None:
        SEEN.append(f"left with {kind.__name__ if kind else None}")


def generator() -> Iterator[str]:
    SEEN.append("opened")
    try:
        yield "db"
    except BaseException as e:
        SEEN.append(f"saw {type(e).__name__}")
        raise
    finally:
        SEEN.append("finally")


async def async_generator() -> AsyncIterator[str]:
    await asyncio.sleep(0)
    SEEN.append("opened")
    try:
        yield "db"
    finally:
        await asyncio.sleep(0)
        SEEN.append("finally")


def swallows() -> Iterator[str]:
    try:
        yield "db"
    except ValueError:
        SEEN.append("swallowed")


def breaks_on_close() -> Iterator[str]:
    yield "db"
    raise OSError("lost at commit")


def away() -> Iterator[str]:
    raise ConnectionError("refused")
    yield "never"


async def connected() -> AsyncConnection:
    return AsyncConnection()


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """This file under a name that a config could say."""
    SEEN.clear()
    made = types.ModuleType("given")
    made.__dict__.update(
        generator=generator, async_generator=async_generator, swallows=swallows, breaks_on_close=breaks_on_close,
        away=away, connected=connected, connection=Connection, async_connection=AsyncConnection, session=Session,
        number=lambda: 7, managed=contextmanager(generator), async_managed=asynccontextmanager(async_generator),
        wants=lambda url: url,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "given", made)
    return made


def run(factory: str, function: Callable[..., Any]) -> Any:
    """Bind `db` to a factory and call as a runner does."""
    resources = Resources({"db": f"given:{factory}"})
    call = resources.bind(function, ("ctx",))
    if call.is_async:
        return asyncio.run(run_async(resources, call))
    with resources.opened(call.resources) as opened:
        return call({"ctx": 1, **opened})


async def run_async(resources: Resources, call: Any) -> Any:
    async with resources.opened_async(call.resources) as opened:
        return await call({"ctx": 1, **opened})


def fails(db: Any) -> None:
    raise ValueError("mine")


async def fails_async(db: Any) -> None:
    raise ValueError("mine")


def gives(db: Any) -> Any:
    return db


async def gives_async(db: Any) -> Any:
    return db


@pytest.mark.parametrize(
    ("factory", "seen"),
    [
        ("generator", ["opened", "finally"]),
        ("managed", ["opened", "finally"]),
        ("session", ["entered", "left with None"]),
        ("connection", ["closed"]),
        ("number", []),
    ],
)
@pytest.mark.parametrize("function", [gives, gives_async])
def test_every_kind_of_factory_is_opened_and_closed(factory: str, seen: list[str], function: Any) -> None:
    assert run(factory, function) is not None
    assert seen == SEEN


@pytest.mark.parametrize(
    ("factory", "seen"),
    [
        ("async_generator", ["opened", "finally"]),
        ("async_managed", ["opened", "finally"]),
        ("async_connection", ["aclosed"]),
        ("connected", ["aclosed"]),
    ],
)
def test_async_resources_go_with_async_functions(factory: str, seen: list[str]) -> None:
    assert run(factory, gives_async) is not None
    assert seen == SEEN


def test_each_call_gets_a_fresh_one() -> None:
    assert run("connection", gives) is not run("connection", gives)


@pytest.mark.parametrize("function", [fails, fails_async])
def test_the_error_of_the_run_is_thrown_in_and_comes_out(function: Any) -> None:
    with pytest.raises(ValueError, match="mine"):
        run("generator", function)
    assert SEEN == ["opened", "saw ValueError", "finally"]


@pytest.mark.parametrize("function", [fails, fails_async])
def test_a_resource_that_swallows_the_error_does_not_make_a_good_run(function: Any) -> None:
    with pytest.raises(ValueError, match="mine"):
        run("swallows", function)
    assert SEEN == ["swallowed"]


@pytest.mark.parametrize("function", [gives, gives_async])
def test_what_does_not_open_is_told_apart(function: Any) -> None:
    with pytest.raises(ResourceUnavailable, match=r'resource "db" did not open: ConnectionError: refused') as caught:
        run("away", function)
    assert isinstance(caught.value.cause, ConnectionError)
    assert caught.value.name == "db"


@pytest.mark.parametrize("function", [gives, gives_async])
def test_an_error_while_closing_is_an_error_of_the_run(function: Any) -> None:
    with pytest.raises(ResourceCloseFailed, match="lost at commit"):
        run("breaks_on_close", function)


@pytest.mark.parametrize("function", [fails, fails_async])
def test_an_error_while_closing_never_hides_the_one_of_the_run(function: Any, module: types.ModuleType) -> None:
    @contextmanager
    def both() -> Iterator[str]:
        try:
            yield "db"
        finally:
            raise OSError("and this too")

    module.__dict__["both"] = both
    with pytest.raises(ValueError, match="mine") as caught:
        run("both", function)
    assert "and this too" in caught.value.__notes__[0]


def test_what_was_open_is_closed_when_the_next_does_not_open() -> None:
    resources = Resources({"a": "given:generator", "b": "given:away"})
    call = resources.bind(lambda a, b: None, ())
    with pytest.raises(ResourceUnavailable, match='"b"'), resources.opened(call.resources):
        pass
    assert SEEN == ["opened", "saw ResourceUnavailable", "finally"]


def test_only_what_a_function_names_is_given() -> None:
    resources = Resources({"db": "given:generator"})
    call = resources.bind(lambda ctx, limit, page=3: (ctx, limit, page), ("ctx", "limit"))
    assert call({"ctx": 1, "limit": 2, "more": 9}) == (1, 2, 3)
    assert call.resources == ()
    every = resources.bind(lambda **rest: rest, ("ctx", "limit"))
    assert every({"ctx": 1, "limit": 2}) == {"limit": 2}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda dbb: None, 'parameter "dbb" is neither a resource nor one of ctx, db; did you mean "db"?'),
        (lambda ctx, /: None, '"ctx" is positional-only'),
        (generator, 'contains "yield"'),
        (async_generator, 'contains "yield"'),
    ],
)
def test_a_signature_that_does_not_fit_is_said_before_the_first_run(function: Any, said: str) -> None:
    with pytest.raises(LoadError) as caught:
        Resources({"db": "given:generator"}).bind(function, ("ctx",))
    assert said in str(caught.value)
    assert caught.value.permanent


def test_an_argument_that_the_function_does_not_take_is_said() -> None:
    with pytest.raises(LoadError, match=r'has no parameter "limt"; did you mean "limit"\?'):
        Resources({}).bind(lambda limit=1: None, ("limt",), required=("limt",))


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("nothing", r'\[resources\] db: given:nothing: module given has no "nothing"'),
        ("wants", r"\[resources\] db: given:wants is called without arguments, but: missing a required argument"),
        ("async_generator", "is async, so the function must be"),
    ],
)
def test_a_factory_that_does_not_fit_is_said_before_the_first_run(factory: str, said: str) -> None:
    with pytest.raises(LoadError, match=said) as caught:
        run(factory, gives)
    assert caught.value.permanent


def test_a_callable_object_is_a_function_too() -> None:
    class Task:
        async def __call__(self, db: Any) -> Any:
            return db

    assert run("number", Task()) == 7
