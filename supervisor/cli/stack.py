"""RUNS IN THE USER'S TERMINAL: `supervisor stack`: what all threads of a living child do at this moment."""

from __future__ import annotations

from collections.abc import Mapping

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.config import redact
from supervisor.core.errors import Exit
from supervisor.core.escape import escape, line


@verb(example="supervisor stack notifications")
@options.one_name
@options.as_json
def stack(place: Place, name: str, as_json: bool) -> int:
    """Show the Python stacks of all threads of a living child, taken by itself."""
    found = ask.child(place, name, "/stack").get("stacks")
    texts = {str(child): redact.text(str(text)) for child, text in found.items()} if isinstance(found, Mapping) else {}
    if as_json:
        terminal.say(ask.dumps(texts))
    else:
        for child, text in sorted(texts.items()):
            terminal.say_all([f"{line(child)}:", *(f"  {escape(each)}".rstrip() for each in text.splitlines())])
    return Exit.OK
