"""Sign of life of an attempt on a machine that other machines can't look into.

Clients on the machine of a job look for its process. A client on another machine, or in another
container, with the same store only sees the store.
"""

from __future__ import annotations

import os
import signal
import threading

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core import clock
from flowyml_aws.core.errors import ArtifactNotFoundError, FlowymlError
from flowyml_aws.runtime.log import say

__all__ = ["HEARTBEAT", "INTERVAL_S", "start_heartbeat"]

HEARTBEAT = "alive.json"
"""Document of an attempt that is written again and again while the attempt runs."""

INTERVAL_S = 10.0


def start_heartbeat(store: ArtifactStore, run_id: str, job: str, attempt: int) -> threading.Event:
    """Write the heartbeat in another thread, until the event that is returned is set.

    The process ends by SIGTERM if a client has given it up.
    """
    layout = RunLayout(run_id)
    alive, ended = (layout.attempt(job, attempt, name) for name in (HEARTBEAT, "exit.json"))

    def beat() -> None:
        while not stopped.is_set():
            try:
                store.put(alive, b"{}\n")
                store.get(ended)
            except ArtifactNotFoundError:
                pass
            except FlowymlError as error:  # the heartbeat is optional: the job must continue
                say(f"could not write the heartbeat: {error.what}: {error.why}")
            else:
                say("a client on another machine has ended this attempt")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            clock.wait(stopped, INTERVAL_S)

    stopped = threading.Event()
    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    return stopped
