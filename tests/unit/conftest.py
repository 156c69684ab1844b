"""RUNS IN PYTEST: hypothesis judges results, never how long a loaded machine took for them.

Where a run decides whether a change may land, the examples are the same each time; elsewhere they are new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("unhurried", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("unhurried")
