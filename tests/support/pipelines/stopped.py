"""A step that stops its own process, whose timers do not run then."""

from __future__ import annotations

import os
import signal

from flowyml_aws import Pipeline, step


@step(timeout=1)
def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


pipeline = Pipeline("stopped").add_step(stop)
