"""RUNS IN THE USER'S TERMINAL: `supervisor completion`: verbs, options and names for the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from supervisor.cli import terminal
from supervisor.cli.group import COMPLETE, cli, verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit


@verb(example='eval "$(supervisor completion bash)"   (in ~/.bashrc)', help_alone=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(place: Place, shell: str) -> int:
    """Print the completion script for your shell."""
    found = get_completion_class(shell)
    assert found is not None
    terminal.say(found(cli, {}, "supervisor", COMPLETE).source())
    return Exit.OK
