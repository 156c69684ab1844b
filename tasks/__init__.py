"""RUNS IN A CHILD: the user's side, a working notification pipeline. Copy it, change it, replace it."""
