"""RUNS IN A CHILD: how one resource is opened and closed, whatever its factory is.

The exception of a run is thrown into the resources, and always comes out again: a resource can neither
hide it nor replace it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

from supervisor.core.errors import SupervisorError

Factory = Callable[..., Any]


class ResourceError(SupervisorError):
    """A resource failed, not the user's function."""

    verb = ""

    def __init__(self, name: str, cause: BaseException) -> None:
        super().__init__(f'resource "{name}" {self.verb}: {type(cause).__name__}: {cause}')
        self.name = name
        self.cause = cause


class ResourceUnavailable(ResourceError):
    """It did not open: the dependency is away, the user's function was not called."""

    verb = "did not open"


class ResourceCloseFailed(ResourceError):
    """The function succeeded, but what it did may not have been kept."""

    verb = "did not close"


@contextmanager
def opened(factories: Mapping[str, Factory]) -> Iterator[dict[str, Any]]:
    """Open in this order, close in the reverse one.

    The error of the block always comes out.
    Raises ResourceUnavailable before the block, ResourceCloseFailed after a block that succeeded.
    """
    stack = ExitStack()
    body: BaseException | None = None
    try:
        values = {name: stack.enter_context(_Guarded(name, factory)) for name, factory in factories.items()}
        yield values
    except BaseException as e:
        body = e
        raise
    finally:
        with _primary(body):
            stack.__exit__(*_info(body))


@asynccontextmanager
async def opened_async(factories: Mapping[str, Factory]) -> AsyncIterator[dict[str, Any]]:
    """As `opened`; sync resources are taken too."""
    stack = AsyncExitStack()
    body: BaseException | None = None
    try:
        values: dict[str, Any] = {}
        for name, factory in factories.items():
            values[name] = await stack.enter_async_context(_GuardedAsync(name, factory))
        yield values
    except BaseException as e:
        body = e
        raise
    finally:
        with _primary(body):
            await stack.__aexit__(*_info(body))


class _Guarded(AbstractContextManager[Any]):
    """One open resource; its own errors get its name."""

    def __init__(self, name: str, factory: Callable[..., Any]) -> None:
        self._name, self._factory = name, factory
        self._manager: AbstractContextManager[Any] | None = None

    def __enter__(self) -> Any:
        try:
            self._manager = _manager(self._factory)
            return self._manager.__enter__()
        except Exception as e:
            raise ResourceUnavailable(self._name, e) from e

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        assert self._manager is not None
        try:
            self._manager.__exit__(kind, error, tb)
        except Exception as e:
            if e is not error:
                raise ResourceCloseFailed(self._name, e) from e


class _GuardedAsync(AbstractAsyncContextManager[Any]):
    def __init__(self, name: str, factory: Callable[..., Any]) -> None:
        self._name, self._factory = name, factory
        self._manager: AbstractAsyncContextManager[Any] | None = None

    async def __aenter__(self) -> Any:
        try:
            self._manager = await _async_manager(self._factory)
            return await self._manager.__aenter__()
        except Exception as e:
            raise ResourceUnavailable(self._name, e) from e

    async def __aexit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        assert self._manager is not None
        try:
            await self._manager.__aexit__(kind, error, tb)
        except Exception as e:
            if e is not error:
                raise ResourceCloseFailed(self._name, e) from e


def _manager(factory: Callable[..., Any]) -> AbstractContextManager[Any]:
    if inspect.isgeneratorfunction(factory):
        return contextmanager(factory)()
    value = factory()
    return value if hasattr(value, "__enter__") and hasattr(value, "__exit__") else _closing(value)


async def _async_manager(factory: Callable[..., Any]) -> AbstractAsyncContextManager[Any]:
    if inspect.isasyncgenfunction(factory):
        return asynccontextmanager(factory)()
    if inspect.isgeneratorfunction(factory):
        return _lifted(contextmanager(factory)())
    value = factory()
    if inspect.isawaitable(value) and not hasattr(value, "__aenter__"):
        value = await value
    if hasattr(value, "__aenter__"):
        return value  # type: ignore[no-any-return]
    return _lifted(value) if hasattr(value, "__enter__") else _closing_async(value)


@contextmanager
def _closing(value: Any) -> Iterator[Any]:
    try:
        yield value
    finally:
        if callable(close := getattr(value, "close", None)):
            close()


@asynccontextmanager
async def _closing_async(value: Any) -> AsyncIterator[Any]:
    try:
        yield value
    finally:
        close = getattr(value, "aclose", None) or getattr(value, "close", None)
        if callable(close) and inspect.isawaitable(result := close()):
            await result


@asynccontextmanager
async def _lifted(manager: AbstractContextManager[Any]) -> AsyncIterator[Any]:
    with manager as value:
        yield value


@contextmanager
def _primary(body: BaseException | None) -> Iterator[None]:
    """While the error of the block is on its way out, one of closing is told beside it, never instead of it."""
    try:
        yield
    except BaseException as e:
        if body is None:
            raise
        if e is not body:
            body.add_note(f"and while closing: {e}")


def _info(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)
