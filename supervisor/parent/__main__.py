"""RUNS IN THE PARENT: `python -m supervisor.parent`, the program that `supervisor start` becomes."""

import gc
import os

gc.disable()  # until the preload is over: what is imported stays, and looking through it costs a tenth of a start

from supervisor.parent.main import main  # noqa: E402  the collector is off first

if __name__ == "__main__":
    os._exit(main())
