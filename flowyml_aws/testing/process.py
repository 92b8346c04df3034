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
from flowyml_aws.testing.warm import RUNNER, WarmProcess, WarmStarter

__all__ = ["JobProcess", "Processes", "start_process"]

_CHUNK_BYTES = 64 * 1024


class Processes:
    """Runs what a container would run as a process of this machine, whatever its image.

    Args:
        environment: What the image brings.
        is_warm: Whether the runner starts in a fork of a process that has its imports already.
    """

    def __init__(self, environment: Mapping[str, str], is_warm: bool) -> None:
        self._environment = environment
        self._warm = WarmStarter(environment) if is_warm else None

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
        if self._warm is not None and self._can_be_warm(command, environment):
            process = self._warm.start(command[3:], environment, container.folder)
            return JobProcess(process, on_lines)
        return JobProcess(start_process(command, environment, container.folder), on_lines)

    def stop(self) -> None:
        """Forget what makes starts fast; processes that run go on."""
        if self._warm is not None:
            self._warm.stop()

    def _can_be_warm(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Return True for the runner, unless the job has Python settings of its own."""
        own = {*environment.items()} - {*self._environment.items()}
        return (
            command[0] in ("python", "python3")
            and command[1:3] == ["-m", RUNNER]
            and not any(name.startswith(("PYTHON", "LC_", "LANG", "LD_")) for name, _ in own)
        )


def start_process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, with one pipe for its output.

    Args:
        command: The program and its arguments. `python` and `python3` are this interpreter, as in
            an image that has the same Python.
        environment: The whole environment.
        folder: The working directory.

    Raises:
        OSError: The program can't be started.
    """
    return subprocess.Popen(
        [_program(command), *command[1:]],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )


class JobProcess:
    """A running command; everything in its process group ends with it, as in a container.

    Args:
        process: The command's process, which leads a session of its own.
        on_lines: Gets the lines of stdout and stderr as they come, without line ends, on a thread
            of its own.

    Attributes:
        is_out_of_memory: Never: a process has no limit.
    """

    is_out_of_memory = False

    def __init__(self, process: subprocess.Popen[bytes] | WarmProcess, on_lines: OnLines) -> None:
        self._on_lines = on_lines
        self._process = process
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
