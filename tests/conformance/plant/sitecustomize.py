"""RUNS IN THE PARENT UNDER TEST, read by Python itself at its start: puts the recorder in."""

import os
import sys

if "FORKWARDEN_PLAN_FD" in os.environ and "FORKWARDEN_RECORD" in os.environ:
    sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
    import recorder

    sys.path.pop(0)
    recorder.install(os.environ.pop("FORKWARDEN_RECORD"))
