"""Threads of steps that would keep a job, and its cost, running after its end."""

from __future__ import annotations

import os
import threading

from flowyml_aws.core import clock
from flowyml_aws.runtime.log import say

__all__ = ["end_lingering_threads"]


def end_lingering_threads(code: int, after_s: float) -> None:
    """Exit with a code after a delay if non-daemon threads still keep the process running.

    Python waits for every such thread. Exit handlers are not cut short.
    """
    if threading.active_count() == 1:
        return  # no thread is left, so that none can be started either

    def end() -> None:
        main = threading.main_thread()
        names = [t.name for t in threading.enumerate() if not t.daemon and t is not main]
        if names:
            say(f"exiting although threads of the steps are still running: {', '.join(names)}")
            os._exit(code)

    timer = threading.Timer(clock.real_s(after_s), end)
    timer.daemon = True
    timer.start()
