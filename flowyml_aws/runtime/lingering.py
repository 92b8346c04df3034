"""Threads of the steps that would keep a job, and its cost, alive after its end."""

from __future__ import annotations

import os
import threading

from flowyml_aws.runtime.log import say

__all__ = ["end_lingering_threads"]


def end_lingering_threads(code: int, after_s: float) -> None:
    """End the process with an exit code in a while, if threads keep it from ending by itself.

    Python waits for every thread that is not a daemon. What runs at exit is left its time.
    """

    def end() -> None:
        main = threading.main_thread()
        left = [t.name for t in threading.enumerate() if not t.daemon and t is not main]
        if left:
            say(f"ending, though the steps left threads that do not: {', '.join(left)}")
            os._exit(code)

    timer = threading.Timer(after_s, end)
    timer.daemon = True
    timer.start()
