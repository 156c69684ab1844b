"""The rules of a child's life: states, events, actions. One file owns every transition."""
