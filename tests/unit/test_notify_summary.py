"""The one line of `systemctl status`."""

from __future__ import annotations

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.fleet import Fleet
from supervisor.core.spec import ChildSpec, Policy, TaskSettings
from supervisor.parent.notify import summary


def fleet(*names: str, ready: tuple[str, ...] = (), off: tuple[str, ...] = ()) -> Fleet:
    made = Fleet(lambda: 0.0)
    settings = TaskSettings(run="m:f", every=1.0)
    specs = [
        ChildSpec(name=name, group=name, kind="task", enabled=name not in off, policy=Policy(), settings=settings)
        for name in names
    ]
    made.apply(specs, lambda spec: spec.enabled, 0.0)
    for name in ready:
        for event in (ev.Spawned(7), ev.Greeted(), ev.BecameReady()):
            made.step(name, event, 0.0)
    return made


def test_it_counts_what_is_wanted_and_names_what_is_not_ready() -> None:
    assert summary(fleet("a", "b", "c", ready=("a",), off=("c",))) == "1 of 2 ready; b: starting"


def test_many_are_not_all_named() -> None:
    assert summary(fleet(*"abcde")) == "0 of 5 ready; a: starting; b: starting; c: starting; and 2 more"


def test_nothing_is_all_that_is_wanted() -> None:
    assert summary(fleet()) == "0 of 0 ready"
