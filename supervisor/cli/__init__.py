"""RUNS IN THE USER'S TERMINAL: the command. One module per verb, imported when that verb is used.

Data goes to stdout, everything said to the person goes to stderr. Every way out of the command is here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from supervisor.cli.group import COMPLETE, cli
from supervisor.console import open_standard_streams
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.escape import escape

INTERRUPTED = 130  # as a shell says of a command that Ctrl-C ended


def main() -> NoReturn:
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets every line
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code. Nobody ever sees a traceback."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `supervisor logs | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except SupervisorError as error:
        return _say(str(error), error.exit)
    except Exception as error:  # the last stop before the person
        if os.environ.get("FORKWARDEN_DEBUG"):
            raise
        said = f"{type(error).__name__}: {error}"
        return _say(f"{said} (a bug of ours; FORKWARDEN_DEBUG=1 shows where)", Exit.BUG)


def _run(arguments: Sequence[str]) -> int:
    try:
        if instruction := os.environ.get(COMPLETE):
            from click.shell_completion import shell_complete

            return shell_complete(cli, {}, "supervisor", COMPLETE, instruction)
        with cli.make_context("supervisor", list(arguments) or ["--help"]) as context:
            return int(cli.invoke(context) or Exit.OK)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return error.exit_code
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "supervisor"
        return _say(f"{error.format_message()}\n  more: {where} --help", error.exit_code)


def _say(text: str, code: int) -> int:
    """Write an error, its further lines as they are meant: each line is escaped on its own."""
    sys.stdout.flush()
    sys.stderr.write("error: " + "\n".join(escape(each) for each in text.split("\n")) + "\n")
    return int(code)
