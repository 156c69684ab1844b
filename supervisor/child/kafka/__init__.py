"""RUNS IN A CHILD ONLY: one member of a Kafka consumer."""
