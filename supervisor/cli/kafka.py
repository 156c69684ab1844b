"""RUNS IN THE USER'S TERMINAL: `supervisor kafka`: its actions, and how one is found; pause and resume.

An action's module is imported when it is used.
"""

from __future__ import annotations

import time
from importlib import import_module

import click

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import Verb, config_option, similar, verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line
from supervisor.core.status import children

LOOK, PATIENCE = 0.05, 5.0  # seconds; a member tells once a second how it stands

ACTIONS = {
    "doctor": ("kafka_doctor", "Say what keeps a consumer from its records, and what to do."),
    "lag": ("kafka_lag", "Show how far behind consumers are, by partition."),
    "tail": ("kafka_records", "Show the newest records of a topic; -f follows."),
    "produce": ("kafka_records", "Write a record."),
    "dlq": ("kafka_dlq", "List, show and replay dead letters."),
    "reset-offsets": ("kafka_reset", "Set where a consumer reads on."),
    "verify": ("kafka_verify", "Run one process here and print its steps as JSON."),
    "pause": ("kafka", "Let a consumer rest; it stays in its group."),
    "resume": ("kafka", "Let it go on."),
}


class Actions(Verb, click.Group):
    """The group of all actions: lists them without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ACTIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ACTIONS:
            return None
        found = getattr(import_module(f"supervisor.cli.{ACTIONS[cmd_name][0]}"), cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in ACTIONS and not args[0].startswith("-"):
            raise click.UsageError(
                f"there is no command 'kafka {line(args[0])}'.{similar(args[0], list(ACTIONS))}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Actions"):
            formatter.write_dl([(action, text) for action, (_, text) in ACTIONS.items()])
        click.Command.format_options(self, ctx, formatter)


@click.group(cls=Actions)
@config_option
@click.pass_context
def kafka(ctx: click.Context, config: str | None) -> None:
    """Look at the records of consumers and move them, without Kafka's own tools."""
    if config:
        ctx.find_root().params["config"] = config


kafka.example = "supervisor kafka lag\nsupervisor kafka pause payments"


@verb(example="supervisor kafka pause payments")
@options.one_name
def pause(place: Place, name: str) -> int:
    """Let a consumer rest: what is in hand finishes, nothing new is taken.

    It keeps its partitions, also over restarts of its processes. A restart of the supervisor ends the pause;
    `supervisor disable` is what lasts.
    """
    group = line(str(ask.order(place, name, "pause", {}).get("name")))
    return _when_done(
        place, group, on=True, said=f"paused; it goes on with: supervisor kafka resume {group}{place.option}"
    )


@verb(example="supervisor kafka resume payments")
@options.one_name
def resume(place: Place, name: str) -> int:
    """Let a paused consumer go on where it was."""
    group = line(str(ask.order(place, name, "resume", {}).get("name")))
    return _when_done(place, group, on=False, said="resumed")


def _when_done(place: Place, group: str, *, on: bool, said: str) -> int:
    """Say it when every process that has partitions has done it; one without has nothing to do."""
    end = time.monotonic() + PATIENCE
    while (waiting := _others(place, group, on=on)) and time.monotonic() < end:
        time.sleep(LOOK)
    if waiting:
        word = "paused" if on else "resumed"
        who = f"{', '.join(waiting)}: supervisor explain {waiting[0]}{place.option}"
        terminal.tell(f"{group}: to be {word}, and not done after {PATIENCE:g} s by {who}")
        return Exit.FAILED
    terminal.say(f"{group}: {said}")
    return Exit.OK


def _others(place: Place, group: str, *, on: bool) -> list[str]:
    members = [each for each in children(ask.status(place)) if each.get("group") == group]
    busy = [each for each in members if each.get("pid") and each.get("partitions")]
    return [str(each.get("name")) for each in busy if bool(each.get("held")) is not on]
