"""Times of the chaos program."""

from __future__ import annotations

__all__ = ["CAPACITY_WAIT_S", "POLL_S", "PROPAGATION_S", "SPEED", "STOP_GRACE_S"]

SPEED = 60
"""Seconds of the code under test in a real second."""
PROPAGATION_S = 5 / SPEED
"""Real seconds until the emulator's listings show a change: 5 seconds of the code under test."""
STOP_GRACE_S = 4.0
"""Real seconds between SIGTERM and SIGKILL of a job: its exit takes real time."""
POLL_S = 6.0
"""Seconds of a client between two polls: twice the default, because each takes real time."""
CAPACITY_WAIT_S = 240.0
"""Seconds without capacity after which jobs move, of the code under test: a start takes less."""
