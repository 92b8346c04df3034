"""Python programs of the jobs that tests stop."""

from __future__ import annotations

__all__ = ["GRACEFUL", "STUBBORN", "WAIT_FOR_FILE"]

GRACEFUL = """
import signal, sys, time
def leave(number, frame):
    print("leaving")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready")
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
while True:
    time.sleep(60)
"""
WAIT_FOR_FILE = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
while not os.path.exists({!r}):
    time.sleep(0.01)
"""
