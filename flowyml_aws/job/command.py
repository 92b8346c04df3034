"""The step of a job of `flowyml-aws exec`: it runs a command."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import JobError
from flowyml_aws.job.inputs import FOLDER_VARIABLE, Inputs
from flowyml_aws.runtime.log import say

__all__ = ["CommandFailedError", "run_command"]


class CommandFailedError(JobError):
    """The command of a job has failed, or can't be started."""


def run_command(command: Sequence[str], inputs: dict[str, Any]) -> int:
    """Run a command in the working directory of the job, and return its exit code, 0.

    The command and its processes end with this function, also if the job reaches its time limit.

    Args:
        command: Program and its arguments.
        inputs: The members of `Inputs`.

    Raises:
        CommandFailedError: The command has another exit code, or can't be started.
    """
    recorded = Inputs.model_validate(inputs)
    folder = Path(tempfile.mkdtemp(prefix="flowyml-aws-exec-"))
    try:
        recorded.write(folder)
        for name in recorded.assets:
            say(f"input: python -c 'from flowyml_aws.job.inputs import load; load(\"{name}\")'")
        say(f"command: {shlex.join(command)}")
        with _started(command, folder) as process:
            code = process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code != 0:
        raise CommandFailedError(
            what=f"The command ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}",
            why=shlex.join(command),
            fix="read its output in the log of the job",
        )
    return code


@contextmanager
def _started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own, and end the session with the block."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, FOLDER_VARIABLE: str(folder)}
    try:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise CommandFailedError(
            what=f"The command can't be started: {command[0]}",
            why=error.strerror or str(error),
            fix="name a program of the image; a shell runs several: sh -c '…'",
        ) from error
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
