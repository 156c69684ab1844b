"""One mistake in a name, one text and one code, whichever verb it was typed behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.project import Project
from support.stand_in import Answer, StandIn
from support.statuses import ABOUT, TASK1, child

CONFIG = """
[supervisor]
[tasks.task1]
run = "mine:tick"
every = "5m"
[tasks.invoices]
run = "mine:tick"
every = "5m"
[consumers.payments]
handler = "mine:handle"
topics = ["payments"]
group_id = "payments"
auto_offset_reset = "earliest"
"""
CODE = """
def tick():
    pass

def handle(record):
    pass
"""
VERBS = [
    ["status"],
    ["explain"],
    ["stack"],
    ["restart"],
    ["enable"],
    ["disable"],
    ["run"],
    ["run", "--wait"],
    ["chaos", "--kill", "--yes"],
]


@pytest.fixture
def own(project: Callable[..., Project]) -> Iterator[Project]:
    """The supervisor of `task1` and `payments`; config.toml has got another task since."""
    made = project(CONFIG, CODE)
    with StandIn(made.state, _answer):
        yield made


def _answer(method: str, path: str, body: dict[str, object]) -> Answer:
    if path == "/v1/status":
        return 200, {"supervisor": ABOUT, "children": [TASK1, child("payments", kind="consumer")]}
    if path == "/v1/children/payments/run":
        return 400, {"error": "'payments' is no task: only tasks have runs", "suggestion": None}
    return 404, {"error": "no child can have such a name", "suggestion": "names are a-z"}


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("taks1", "there is no child 'taks1'; did you mean 'task1'?"),
        ("Nope", "there is no child 'Nope'; children: payments, task1"),
        ("invoices", "config.toml has 'invoices', but it is not applied yet (supervisor reload)"),
        ("payments:7", "there is no child 'payments:7'; did you mean 'payments'?"),
    ],
)
def test_every_verb_says_the_same_of_a_name_that_is_none(own: Project, verb: list[str], name: str, said: str) -> None:
    done = own.run(verb[0], name, *verb[1:])
    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"error: {said}\n")


@pytest.mark.parametrize("verb", [["run"], ["run", "--wait"], ["run", "--local"], ["history"]], ids=" ".join)
def test_a_consumer_has_no_runs_and_to_ask_for_one_is_wrong_usage(own: Project, verb: list[str]) -> None:
    done = own.run(verb[0], "payments", *verb[1:])
    assert (done.returncode, done.stderr) == (2, "error: 'payments' is no task: only tasks have runs\n")
