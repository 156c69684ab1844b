"""RUNS IN THE PARENT UNDER TEST, read by Python itself at its start: what stands between it and the kernel."""

import os
import sys

if "FORKWARDEN_PLAN_FD" in os.environ and "FORKWARDEN_EFFECT" in os.environ:
    sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
    import seam

    seam.install(os.environ.pop("FORKWARDEN_EFFECT"), os.environ.pop("FORKWARDEN_EFFECT_LOG"))
    sys.path.pop(0)
