"""Records, positions and dead letters, without a client."""
