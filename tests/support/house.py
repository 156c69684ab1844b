"""RUNS IN PYTEST: the source read as a tree, never imported: who imports what, how long, by which names."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "supervisor"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True)
class Import:
    module: str  # absolute: "supervisor.core.spec", "os"
    line: int
    typing_only: bool  # under `if TYPE_CHECKING`: nothing is imported when it runs

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room(self) -> str:
        """Of an import of our own: "core", "parent", …, "client"; "" for the package itself."""
        return self.module.split(".")[1] if "." in self.module else ""


@dataclass(frozen=True)
class Module:
    path: Path
    tree: ast.Module
    text: str

    @property
    def name(self) -> str:
        """As people write it: "supervisor/core/spec.py"."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str:
        """Which folder of the house it is in, or the name of a module that stands alone."""
        return self.path.relative_to(ROOT).parts[1].removesuffix(".py")

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    def imports(self) -> Iterator[Import]:
        typing_only = {id(node) for block in self._typing_blocks() for node in ast.walk(block)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, id(node) in typing_only)
            elif isinstance(node, ast.ImportFrom):
                for module in self._targets(node):
                    yield Import(module, node.lineno, id(node) in typing_only)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def calls(self) -> Iterator[tuple[str, int]]:
        """Give "open" or "datetime.now" for each call, and its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node.lineno

    def names(self) -> Iterator[tuple[str, int]]:
        """Give every identifier that this module itself makes up: what it defines, assigns or takes."""
        for node in ast.walk(self.tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    yield name, node.lineno
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield name, node.lineno

    def _typing_blocks(self) -> Iterator[ast.stmt]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                yield from node.body

    def _targets(self, node: ast.ImportFrom) -> Iterator[str]:
        """`from supervisor.core import spec` is an import of supervisor.core.spec when that is a module."""
        base = node.module or ""
        if node.level:
            folder = self.path.relative_to(ROOT).with_suffix("").parts[: -node.level]
            base = ".".join([*folder, *([base] if base else [])])
        for alias in node.names:
            inner = ROOT / Path(*base.split("."), alias.name)
            yield f"{base}.{alias.name}" if inner.is_dir() or inner.with_suffix(".py").exists() else base


def words(name: str) -> list[str]:
    """`readAll_nodes` -> read, all, nodes."""
    return [word.lower() for word in _WORDS.findall(name)]


@functools.cache
def modules(folder: str = PACKAGE) -> tuple[Module, ...]:
    """Parse every module below `folder`, once."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return tuple(Module(path, ast.parse(path.read_text()), path.read_text()) for path in paths)


def is_third_party(library: str) -> bool:
    return library not in sys.stdlib_module_names and library not in (PACKAGE, "tasks", "support")
