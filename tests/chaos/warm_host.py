"""Imports of the process from which clients are forked.

A client starts the trial load of its program in another process. This one forks those, too: the
client inherits the connection to it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from flowyml_aws.packaging import starting
from flowyml_aws.packaging.starting import ProgramProcess, ProgramStart, start_python
from flowyml_aws.testing.machines.warm import WarmStarter

__all__: list[str] = []

_LOAD = "flowyml_aws.runtime.load"
_loads = WarmStarter(os.environ, _LOAD, ("flowyml_aws.local.directory",))


def _start(start: ProgramStart) -> ProgramProcess:
    # A job on this machine is a fresh process: a client finds it by its command line if the client
    # that started it has died.
    if start.module != _LOAD:
        return start_python(start)
    return _loads.start(
        start.arguments,
        start.env,
        start.cwd,
        stdin=start.stdin,
        stdout=start.stdout,
        stderr=start.stderr,
    )


_loads.start([], os.environ, Path(tempfile.gettempdir()), stdout=subprocess.DEVNULL).wait()
starting._starter = _start
