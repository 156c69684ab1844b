"""How long to wait before the next start.

Source: capped exponential backoff, as RestartSteps= and RestartMaxDelaySec= in systemd.service(5).
"""

from __future__ import annotations


def delay(failures: int, *, base: float, cap: float, jitter: float, draw: float) -> float:
    """Return seconds to wait after `failures` failures in a row: 0, base, 2·base, 4·base … cap.

    `draw` in [0, 1) takes up to the share `jitter` away, so that children that died together do not start
    together, and no wait is ever above the cap.

    >>> [delay(n, base=1, cap=30, jitter=0.0, draw=0.0) for n in range(1, 9)]
    [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    >>> delay(3, base=1, cap=30, jitter=0.2, draw=0.5)
    1.8
    """
    if failures <= 1:
        return 0.0
    doublings = min(failures - 2, 64)  # 2**64 is above any cap, and a float holds it
    return min(cap, base * 2.0**doublings) * (1 - jitter * draw)
