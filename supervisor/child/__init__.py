"""RUNS IN A CHILD ONLY, after the fork."""
