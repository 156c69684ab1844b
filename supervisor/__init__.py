"""Background work that does not die silently: one small parent, every consumer and task in a process of its own."""

__version__ = "0.1.0"
