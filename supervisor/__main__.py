"""RUNS IN THE USER'S TERMINAL: `python -m supervisor`, the same as the command."""

from supervisor.cli import main

main()
