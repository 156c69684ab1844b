"""RUNS IN A CHILD ONLY: the embedded demo broker."""
