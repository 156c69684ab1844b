"""The lifecycle with one rule broken at a time: what the simulator does not notice is not tested.

A mutant is one change to the source of one module (mutants.txt). The changed modules are loaded beside the real ones,
so nothing is patched and nothing is left behind. `python tests/simulation/mutants.py` says who noticed what.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    _ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_ROOT), str(_ROOT / "tests")]

from simulation.simulator import Life, Simulator

ROOM = "supervisor.core.lifecycle"
MODULES = ("backoff", "exits", "failures", "liveness", "body", "child", "fleet")  # in the order of their imports
NAME = "mutant_of_lifecycle"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken rule. The lines of `old` stand exactly once in the module."""

    name: str
    module: str
    old: str
    new: str


def read(text: str) -> Iterator[Mutant]:
    """Blocks of `== name`, the file, and a change as in a diff."""
    for block in text.split("\n\n"):
        head, file, *lines = block.strip("\n").splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        yield Mutant(head.removeprefix("== "), file.removesuffix(".py"), old, new)


MUTANTS = tuple(read(Path(__file__).with_name("mutants.txt").read_text(encoding="utf-8")))


def source(module: str) -> str:
    spec = find_spec(f"{ROOM}.{module}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


@contextmanager
def loaded(mutant: Mutant) -> Iterator[Callable[..., Any]]:
    """The Fleet of the changed lifecycle, for as long as the context lasts."""
    names = [f"{NAME}.{module}" for module in MODULES]
    try:
        for module, name in zip(MODULES, names, strict=True):
            text = source(module)
            if module == mutant.module:
                assert text.count(mutant.old) == 1, (
                    f"{mutant.name}: stands {text.count(mutant.old)} times in {module}.py"
                )
                text = text.replace(mutant.old, mutant.new)
            for other in MODULES:
                text = text.replace(f"from {ROOM}.{other} import", f"from {NAME}.{other} import")
            sys.modules[name] = ModuleType(name)
            exec(compile(text, f"{mutant.module}.py, {mutant.name}", "exec"), sys.modules[name].__dict__)
        yield sys.modules[f"{NAME}.fleet"].Fleet
    finally:
        for name in names:
            sys.modules.pop(name, None)


def caught(mutant: Mutant, steps: int) -> tuple[Life | None, int]:
    """Return the life in which it was noticed, and the steps that were needed."""
    taken, seed = 0, 0
    with loaded(mutant) as fleet:
        while taken < steps:
            seed += 1
            life = Simulator(seed, fleet=fleet).run()
            taken += life.steps
            if life.failure:
                return life, taken
    return None, taken


def main() -> int:
    escaped = 0
    for mutant in MUTANTS:
        life, taken = caught(mutant, 300_000)
        escaped += life is None
        print(f"{taken:7} steps  {mutant.name}: {f'{life.failure} (seed {life.seed})' if life else 'NOT NOTICED'}")
    print(f"{len(MUTANTS)} mutants, {escaped} not noticed")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
