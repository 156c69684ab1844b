"""RUNS IN THE USER'S TERMINAL: the verbs, in the groups people look for them, and how one is found.

A verb's module is imported when it is used: `status` must not pay for what `start` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click

from supervisor.cli import place

COMPLETE = "_SUPERVISOR_COMPLETE"
GROUPS = {
    "Run": {
        "start": ("start", "Run everything in config.toml, in the foreground."),
        "stop": ("control", "Stop the supervisor and all its children; wait until gone."),
        "restart": ("control", "Replace the process of children."),
        "reload": ("reload", "Apply a changed config.toml; --dry-run shows what would change."),
    },
    "Observe": {
        "status": ("status", "Show what runs, what ran and what is wrong."),
        "logs": ("logs", "Show log lines of children; -f follows."),
        "explain": ("explain", "Say why a child is in its state, and what to do."),
        "report": ("crash_report", "Show what is known of a child's last unasked death."),
        "events": ("events", "Show what happened, numbered; -f follows."),
        "stack": ("stack", "Show the Python stacks of a living child."),
        "history": ("history", "List the runs of a task."),
        "schedule": ("schedule", "Show the next slots of tasks, by time."),
    },
    "Control": {
        "enable": ("control", "Switch children on."),
        "disable": ("control", "Switch children off; they stay off until enabled."),
        "run": ("run", "Run a task now."),
        "backfill": ("backfill", "Run the missed slots of a task, in order."),
        "chaos": ("chaos", "Harm a child on purpose, to see it heal."),
        "kafka": ("kafka", "Doctor, lag, records, dead letters, offsets; pause and resume."),
    },
    "Setup": {
        "init": ("init", "Create a project: config, a task, a consumer, a test."),
        "add": ("init", "Add a task or a consumer to the project."),
        "check": ("config", "Check config.toml without starting anything."),
        "config": ("config", "Show the configuration with every default, or its schema."),
        "doctor": ("doctor", "Check machine, project, broker and database; say what to do."),
        "unit": ("unit", "Print a systemd unit for this project."),
        "completion": ("completion", "Print the completion script for your shell."),
    },
}
_VERBS = {verb: entry for group in GROUPS.values() for verb, entry in group.items()}


def similar(name: str, known: Sequence[str]) -> str:
    """Return " Did you mean 'status'?" or "", in the words click has for options."""
    from supervisor.core.names import near

    found = near(name, known)
    return f" {found[0].upper()}{found[1:]}" if found else ""


class Verbs(click.Group):
    """The group of all verbs: lists them without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = import_module(f"supervisor.cli.{_VERBS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}.{similar(args[0], list(_VERBS))}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, text) for verb, (_, text) in verbs.items()], col_max=12)


class Verb(click.Command):
    """A command whose help ends with an example that is not wrapped."""

    example = ""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.example:
            with formatter.section("Example"):
                formatter.write("".join(f"  {text}\n" for text in self.example.splitlines()))


def verb(*, example: str = "", help_alone: bool = False) -> Callable[[Callable[..., int]], Verb]:
    """Make a verb of a function whose first argument is the Place; --config may stand behind the verb too.

    `help_alone`: without any argument it shows its help, as it must be told what to do.
    """

    def decorate(function: Callable[..., int]) -> Verb:
        @click.pass_context
        def call(ctx: click.Context, /, config: str | None, **arguments: Any) -> int:
            return function(place.find(config or ctx.find_root().params.get("config")), **arguments)

        call.__doc__ = function.__doc__
        call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        made = click.command(function.__name__, cls=Verb, no_args_is_help=help_alone)(config_option(call))
        made.example = example
        return made

    return decorate


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config", metavar="FILE", type=click.Path(), help="Default: $FORKWARDEN_CONFIG, else ./config.toml."
    )(function)


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="More on each: supervisor COMMAND --help",
)
@config_option
@click.version_option(package_name="forkwarden", prog_name="forkwarden", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Keep Kafka consumers and periodic tasks running, each in a process of its own."""


__all__ = ["COMPLETE", "GROUPS", "Verb", "cli", "config_option", "similar", "verb"]
