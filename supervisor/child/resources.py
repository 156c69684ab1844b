"""RUNS IN A CHILD: resources by parameter name, opened fresh for one run or handler call and closed on every path.

A factory is "module:factory": a generator function (FastAPI's get_db works unchanged), its async form, a function
that returns a context manager, or one that returns a value, closed by close() or aclose() when it has one.
The exception of a run is thrown into the resources; nothing is ever committed here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any

from supervisor.child.loader import LoadError, load, near
from supervisor.child.opening import ResourceCloseFailed, ResourceError, ResourceUnavailable, opened, opened_async

__all__ = ["Call", "ResourceCloseFailed", "ResourceError", "ResourceUnavailable", "Resources"]

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Call:
    """The user's function and what it is to be called with."""

    function: Callable[..., Any]
    is_async: bool
    given: tuple[str, ...]  # of what the caller has: ctx, record, records, args
    resources: tuple[str, ...]

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Call it with the named ones of `values`; a coroutine comes back when it is async."""
        return self.function(**{name: values[name] for name in (*self.given, *self.resources)})


class Resources:
    """The [resources] of a child: parameter name to "module:factory"."""

    def __init__(self, factories: Mapping[str, str]) -> None:
        self._targets = dict(factories)
        self._factories: dict[str, Callable[..., Any]] = {}

    def bind(self, function: Callable[..., Any], given: Collection[str], required: Collection[str] = ()) -> Call:
        """Match the parameters of `function` with the names in `given` and the resources; load the factories used.

        `required` are names that the function must take. Raises LoadError (permanent): the signature does not fit.
        """
        title = _title(function)
        is_async = _is_async(function, title)
        taken, wanted = self._match(function, title, given)
        if unused := [name for name in required if name not in taken]:
            raise LoadError(
                f'{title} has no parameter "{unused[0]}"{near(unused[0], inspect.signature(function).parameters)}',
                permanent=True,
            )
        for name in wanted:
            self._load(name, title, is_async)
        return Call(function, is_async, tuple(taken), tuple(wanted))

    def _match(self, function: Callable[..., Any], title: str, given: Collection[str]) -> tuple[list[str], list[str]]:
        taken: list[str] = []
        wanted: list[str] = []
        for p in _parameters(function, title):
            if p.kind is p.VAR_KEYWORD:
                taken += [n for n in given if n not in ("ctx", "record", "records", *taken)]
            elif p.kind is p.VAR_POSITIONAL:
                continue
            elif p.kind not in _BY_NAME:
                raise LoadError(
                    f'{title}: parameter "{p.name}" is positional-only; values are given by name', permanent=True
                )
            elif p.name in given:
                taken.append(p.name)
            elif p.name in self._targets:
                wanted.append(p.name)
            elif p.default is p.empty:
                raise LoadError(self._unknown(title, p.name, given), permanent=True)
        return taken, wanted

    def _unknown(self, title: str, name: str, given: Collection[str]) -> str:
        known = [*given, *self._targets]
        have = ", ".join(known) or "nothing"
        return f'{title}: parameter "{name}" is neither a resource nor one of {have}{near(name, known)}'

    def _load(self, name: str, title: str, is_async: bool) -> None:
        target = self._targets[name]
        try:
            factory = load(target)
        except LoadError as e:
            raise LoadError(f"[resources] {name}: {e}", permanent=e.permanent) from e
        if not is_async and (inspect.isasyncgenfunction(factory) or inspect.iscoroutinefunction(factory)):
            raise LoadError(
                f'{title}: resource "{name}" ({target}) is async, so the function must be "async def"', permanent=True
            )
        _no_arguments(name, target, factory)
        self._factories[name] = factory

    def opened(self, names: Iterable[str]) -> AbstractContextManager[dict[str, Any]]:
        """Open in this order, close in the reverse one; the block gets name -> value.

        Raises ResourceUnavailable before the block, ResourceCloseFailed after a block that succeeded;
        the block's own error always comes out.
        """
        return opened({name: self._factories[name] for name in names})

    def opened_async(self, names: Iterable[str]) -> AbstractAsyncContextManager[dict[str, Any]]:
        """As `opened`; sync resources are taken too."""
        return opened_async({name: self._factories[name] for name in names})


def _title(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"


def _is_async(function: Callable[..., Any], title: str) -> bool:
    target = function if inspect.isroutine(function) else getattr(function, "func", type(function).__call__)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise LoadError(
            f'{title} contains "yield": calling it would run nothing; expected a plain function', permanent=True
        )
    return inspect.iscoroutinefunction(target)


def _parameters(function: Callable[..., Any], title: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as e:
        raise LoadError(
            f"{title}: its parameters cannot be read ({e}); wrap it in a function of yours", permanent=True
        ) from e


def _no_arguments(name: str, target: str, factory: Callable[..., Any]) -> None:
    """A class of a library may have no signature to read: then calling it shows."""
    try:
        inspect.signature(factory).bind()
    except TypeError as e:
        raise LoadError(f"[resources] {name}: {target} is called without arguments, but: {e}", permanent=True) from e
    except ValueError:
        pass
