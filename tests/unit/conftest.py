"""RUNS IN PYTEST: hypothesis judges results, never how long a loaded machine took for them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
