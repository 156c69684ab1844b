"""RUNS IN THE USER'S TERMINAL: what `supervisor doctor` looks at. Each check runs in a process of its own."""
