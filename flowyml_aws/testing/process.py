"""A container, emulated: one process with its output, its own process group and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO

from flowyml_aws.testing.container import Container, OnLines

__all__ = ["JobProcess", "Processes"]

_CHUNK_BYTES = 64 * 1024


class Processes:
    """Runs what a container would run as a process of this machine, whatever its image.

    Args:
        environment: What the image brings.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def start(self, container: Container, on_lines: OnLines) -> JobProcess:
        """Start a process; see `Containers`.

        Raises:
            OSError, ValueError: It can't be started.
        """
        environment = {**self._environment, **container.environment}
        # A process has no directories of its own. This variable is that of SageMaker's own toolkit.
        if (folder := container.volumes.get("/opt/ml")) is not None:
            environment["SAGEMAKER_BASE_DIR"] = str(folder)
        command = [*container.entrypoint, *container.command]
        return JobProcess(command, environment, container.folder, on_lines)


class JobProcess:
    """A running command; everything in its process group ends with it, as in a container.

    Args:
        command: The program and its arguments. `python` and `python3` are this interpreter, as in
            an image that has the same Python.
        environment: The whole environment.
        folder: The working directory.
        on_lines: Gets the lines of stdout and stderr as they come, without line ends, on a thread
            of its own.

    Raises:
        OSError: The program can't be started.

    Attributes:
        is_out_of_memory: Never: a process has no limit.
    """

    is_out_of_memory = False

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_lines: OnLines,
    ) -> None:
        self._on_lines = on_lines
        self._process = subprocess.Popen(
            [_program(command), *command[1:]],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._reader = Thread(
            target=self._read,
            args=(self._process.stdout,),
            name=f"job-output-{self.pid}",
            daemon=True,
        )
        self._reader.start()

    def terminate(self) -> None:
        """Send SIGTERM to the process group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process group."""
        self._signal(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the end; the exit code as Docker tells it, 128+n after signal n."""
        code = self._process.wait()
        self.kill()  # what it has left behind
        # A process that has detached itself may hold the pipe open for ever.
        self._reader.join(timeout=1)
        return code if code >= 0 else 128 - code

    def _signal(self, number: signal.Signals) -> None:
        with suppress(
            ProcessLookupError, PermissionError
        ):  # PermissionError: macOS, all are zombies
            os.killpg(self.pid, number)

    def _read(self, output: IO[bytes]) -> None:
        with output:
            rest = b""
            while chunk := output.read(_CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                self._emit(lines)
            self._emit([rest])

    def _emit(self, lines: list[bytes]) -> None:
        texts = [line.decode(errors="replace").rstrip("\r") for line in lines]
        # CloudWatch has no empty events, and Docker's awslogs driver leaves empty lines out.
        if texts := [text for text in texts if text]:
            self._on_lines(texts)


def _program(command: Sequence[str]) -> str:
    if not command:
        raise FileNotFoundError("no command specified")
    return sys.executable if command[0] in ("python", "python3") else command[0]
