"""What a web process and the supervisor that it starts tell each other beside the control socket.

The supervisor reads a FIFO in its state folder (Paths.keepers), and each web process holds it open for writing:
either side sees by it that the other lives, without a word being sent. The kernel closes it for who is killed.
"""

from __future__ import annotations

WHILE_HELD = "FORKWARDEN_WHILE_HELD"  # set: end when nobody holds the FIFO any more
CONSOLE_FD = "FORKWARDEN_CONSOLE_FD"  # where the lines of a supervisor that is up go; stderr is for the start alone
LINGER = 5.0  # seconds without a holder: a rolling restart or a --reload comes back sooner
FIRST = 15.0  # seconds for the first one to come: it may be busy with its own start
