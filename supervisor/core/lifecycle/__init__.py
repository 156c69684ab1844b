"""The rules of a child's life. `child.py` owns every transition; `fleet.py` holds all children together."""
