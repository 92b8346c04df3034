"""Programs whose output is shown and read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["echoed"]

_STDERR = 2
_TAIL_BYTES = 64_000


def echoed(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program with its output on standard error. Return its exit code and the output's end.

    Raises:
        OSError: The program can't be started.
    """
    tail = b""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 65_536):
            os.write(_STDERR, chunk)
            tail = (tail + chunk)[-_TAIL_BYTES:]
    return process.returncode, tail.decode("utf-8", "replace")
