"""A step that ignores the request to end, and interrupts the client once more."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from flowyml_aws import Pipeline, step


@step
def wait(trace: str, client: int) -> None:
    with Path(trace).open("a") as file:
        file.write("wait\n")
    while True:
        try:
            time.sleep(600)
        except BaseException:
            os.kill(client, signal.SIGINT)


pipeline = Pipeline("stubborn", context={"trace": "", "client": 0}).add_step(wait)
