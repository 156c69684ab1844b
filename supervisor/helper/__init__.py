"""RUNS IN A PROCESS OF ITS OWN, short-lived or lonely, forked by the parent: guard, configuration reader, eviction."""
