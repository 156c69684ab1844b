"""RUNS IN A CHILD ONLY: one task on its schedule."""
