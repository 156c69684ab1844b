"""PURE: no clock, no os, no I/O, no log. Everything here is decided from its arguments alone."""
