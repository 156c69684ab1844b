"""RUNS IN A CHILD: "package.module:function" to the function, with errors that say which of the two is wrong."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable
from types import FrameType, ModuleType, TracebackType
from typing import Any

from supervisor.core.errors import Exit, SupervisorError


class LoadError(SupervisorError):
    """User code cannot be used. `permanent`: no retry can mend it, only another config or other code."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.exit = Exit.CONFIG if permanent else Exit.FAILED


def load(target: str) -> Callable[..., Any]:
    """Return what "package.module:function" names (dots after the colon reach into classes).

    Raises LoadError; anything that the module itself raises while it is imported is not permanent.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise LoadError(f'{target}: expected "package.module:function", for example "tasks.mail:send"', permanent=True)
    found: Any = _import(target, module_name)
    for depth, part in enumerate(path.split(".")):
        found = _attribute(target, found, module_name if depth == 0 else path, part)
    if not callable(found):
        raise LoadError(f"{target}: expected a function, found {_a(type(found).__name__)}", permanent=True)
    return found  # type: ignore[no-any-return]


def near(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean "x"?', or an empty text when nothing is near."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{match[0]}"?' if match else ""


def place(error: BaseException, root: str | None = None) -> str:
    """Return "file:line" of the innermost frame that is the user's, below `root` when there is one there."""
    frames = [(f.f_code.co_filename, line) for f, line in walk(error.__traceback__)]
    outside = [f for f in frames if not _internal(f[0])]
    own = [f for f in outside if root is not None and _below(f[0], root)]
    chosen = (own or outside)[-1:]
    return "".join(f"{_short(name, root)}:{line}" for name, line in chosen)


def walk(tb: TracebackType | None) -> Iterable[tuple[FrameType, int]]:
    return traceback.walk_tb(tb)


def _import(target: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        raise LoadError(_not_found(target, name, e), permanent=True) from e
    except ImportError as e:
        raise LoadError(f"{target}: {name} was found, but it fails to import: {e} ({place(e)})", permanent=True) from e
    except SyntaxError as e:
        where = f"{_short(e.filename or name, sys.path[0])}:{e.lineno}"
        raise LoadError(f"{target}: {where}: {type(e).__name__}: {e.msg}", permanent=True) from e
    except BaseException as e:  # a module may even call sys.exit(): that must not look like a clean end of the child
        what = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
        raise LoadError(f"{target}: importing {name} raised {what} ({place(e, sys.path[0])})", permanent=False) from e


def _not_found(target: str, name: str, error: ModuleNotFoundError) -> str:
    missing = error.name or ""
    if name != missing and not name.startswith(f"{missing}."):
        return f'{target}: {name} was found, but it imports "{missing}", which is not installed ({place(error)})'
    parent, _, last = missing.rpartition(".")
    hint = near(last, _siblings(parent))
    return f'{target}: there is no module "{missing}"{hint or _looked(parent)}'


def _looked(parent: str) -> str:
    return (
        f' in "{parent}"' if parent else f"; looked in {sys.path[0] or 'the working folder'} and the installed packages"
    )


def _siblings(parent: str) -> list[str]:
    package = sys.modules.get(parent)
    places = list(getattr(package, "__path__", [])) if package else sys.path[:1]
    return [m.name for m in pkgutil.iter_modules(places)]


def _attribute(target: str, owner: Any, where: str, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as e:
        known = [n for n in dir(owner) if not n.startswith("__")]
        kind = "module" if isinstance(owner, ModuleType) else "object"
        place_ = getattr(owner, "__file__", None)
        at = f" ({_short(place_, sys.path[0])})" if place_ else ""
        raise LoadError(f'{target}: {kind} {where}{at} has no "{name}"{near(name, known)}', permanent=True) from e


def _internal(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename == __file__ or "/importlib/" in filename


def _below(filename: str, root: str) -> bool:
    return filename.startswith(root.rstrip("/") + "/") and "/site-packages/" not in filename


def _short(filename: str, root: str | None) -> str:
    root = sys.path[0] if root is None else root
    return filename[len(root) :].lstrip("/") if root and _below(filename, root) else filename


def _a(word: str) -> str:
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"
