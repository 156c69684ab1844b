"""RUNS IN THE PARENT ONLY: the one loop, processes, signals, the control socket, the state folder."""
