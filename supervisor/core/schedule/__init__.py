"""When a run is due, and what became of each slot."""
