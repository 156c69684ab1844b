"""RUNS IN THE PARENT: `python -m supervisor.parent`, the program that `supervisor start` becomes."""

import os

from supervisor.parent.main import main

if __name__ == "__main__":
    os._exit(main())
