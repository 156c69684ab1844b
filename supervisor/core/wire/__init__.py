"""Formats that cross a process boundary: frames, messages and orders, the black box page, control requests."""
