"""Containers emulated as processes: each has its output, process group and exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from flowyml_aws.core.emulated import NOT_EMULATED, SHARED_MEMORY_VARIABLE
from flowyml_aws.planning.environment import LOCALE, RUNNER
from flowyml_aws.testing.machines.container import Container, OnLines, Program
from flowyml_aws.testing.machines.gpus import gpu_environment, gpu_programs
from flowyml_aws.testing.machines.image_user import can_switch_user, command_as, find_program
from flowyml_aws.testing.machines.kept_warm import keep, take_kept
from flowyml_aws.testing.machines.shared_memory import shared_memory
from flowyml_aws.warm.starter import RUNNER_MODULE, WarmProcess, WarmStarter, read_at_start

__all__ = ["JobProcess", "Processes", "start_process"]

_CHUNK_BYTES = 64 * 1024
_FOLDER_VARIABLES = {"/opt/ml": "SAGEMAKER_BASE_DIR", "/tmp": "TMPDIR"}
_IMPORTED = ("flowyml_aws.aws.s3.job_store", "flowyml_aws.testing.machines.warm_models")


class Processes:
    """Runs a container's command as a process on this machine, ignoring the image.

    Args:
        environment: Environment of the image.
        is_warm: Whether the runner is forked from a process that has already imported it.
        user: User id of the image; None for root, as which this process counts.
        imports: More modules to import before the forks.
        training_user: Same as `user`, for training jobs; defaults to `user`.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        is_warm: bool,
        user: int | None = None,
        imports: Sequence[str] = (),
        training_user: int | None = None,
    ) -> None:
        self._environment = environment
        self._user = user
        self._training_user = user if training_user is None else training_user
        # The interpreter reads some variables when it starts, so a warm job must agree with them.
        self._warm_environment = {**environment, **RUNNER, "LANG": LOCALE, "LC_ALL": LOCALE}
        self._warm = None
        if is_warm:
            self._warm = take_kept(
                WarmStarter(self._warm_environment, RUNNER_MODULE, (*_IMPORTED, *imports))
            )

    def start(self, container: Container, on_lines: OnLines) -> JobProcess:
        """Start a process; see `Containers`.

        Raises:
            OSError, ValueError: The process can't be started.
        """
        environment = {**self._environment, **container.environment}
        # A process can't have its own /opt/ml and /tmp. SageMaker's training toolkit, and Python's
        # `tempfile`, read these variables.
        for folder, variable in _FOLDER_VARIABLES.items():
            if folder in container.volumes:
                environment[variable] = str(container.volumes[folder])
        if container.scratch is not None:
            environment.setdefault("TMPDIR", str(container.scratch))
        with ExitStack() as devices:
            if container.gpus:
                programs = devices.enter_context(gpu_programs(container.gpus, container.folder))
                environment = gpu_environment(environment, programs)
            if (size_mib := container.shared_memory_mib) is not None:
                try:
                    memory = devices.enter_context(shared_memory(container.folder, size_mib))
                    environment[SHARED_MEMORY_VARIABLE] = str(memory)
                except OSError as error:
                    environment[f"{NOT_EMULATED}SHM"] = f"no file system of this size: {error}"
            running = self._start(container, environment, on_lines)
            running.on_end = devices.pop_all().close
        return running

    def _start(
        self, container: Container, environment: Mapping[str, str], on_lines: OnLines
    ) -> JobProcess:
        command = [*container.entrypoint, *container.command]
        user = self._training_user if container.volumes else self._user
        if user is not None:
            return _start_as(user, command, environment, container, on_lines)
        if self._warm is not None and self._can_be_warm(command, environment):
            warm = self._warm.start(command[3:], environment, container.folder)
            return JobProcess(warm, on_lines, environment, container.folder)
        process = start_process(command, environment, container.folder)
        return JobProcess(process, on_lines, environment, container.folder)

    def stop(self) -> None:
        """Release the process that forks warm starts; running jobs continue."""
        if self._warm is not None:
            keep(self._warm)
            self._warm = None

    def _can_be_warm(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Return True for the runner, unless the job changes settings of the interpreter."""
        is_runner = command[0] in ("python", "python3") and command[1:3] == ["-m", RUNNER_MODULE]
        return is_runner and read_at_start(environment) == read_at_start(self._warm_environment)


def start_process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    """Start a command in a new session, with one pipe for stdout and stderr.

    Args:
        command: Program and arguments. `python` and `python3` run this interpreter, as in an image
            with the same Python.
        environment: Complete environment.
        folder: Working directory.

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


def _start_as(
    user: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    container: Container,
    on_lines: OnLines,
) -> JobProcess:
    """Start a process as a user who owns its working directory, but none of its volumes.

    Where this process can't switch users, the process can't write the folders of its volumes.
    """
    if can_switch_user():
        os.chown(container.folder, user, user)
        process = start_process(_arguments(command, user), environment, container.folder)
        return JobProcess(process, on_lines, environment, container.folder, user)
    bases = container.volumes.values()
    folders = [f for base in bases for f in (base, *base.rglob("*")) if f.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        process = start_process(command, environment, container.folder)
        return _ReadOnlyProcess(process, on_lines, environment, container.folder, folders)
    except BaseException:
        _make_writable(folders)
        raise


class JobProcess:
    """A running command. Its whole process group ends with it, as in a container.

    Args:
        process: Process of the command, the leader of its own session.
        on_lines: Callback for lines of stdout and stderr, without line ends, as they arrive; called
            on a separate thread.
        environment: Environment of the command.
        folder: Working directory of the command.
        user: User id of the command; None for that of this process.

    Attributes:
        is_out_of_memory: Always False, because a process has no memory limit.
        on_end: Called once after the end.
    """

    is_out_of_memory = False

    def __init__(
        self,
        process: subprocess.Popen[bytes] | WarmProcess,
        on_lines: OnLines,
        environment: Mapping[str, str],
        folder: Path,
        user: int | None = None,
    ) -> None:
        self.on_end: Callable[[], None] = lambda: None
        self._on_lines = on_lines
        self._environment = environment
        self._folder = folder
        self._user = user
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
        """Wait for the end and return the exit code as Docker reports it: 128+n after signal n."""
        code = self._process.wait()
        self.kill()  # processes that it left running
        # A process that has detached itself may hold the pipe open indefinitely.
        self._reader.join(timeout=1)
        self.on_end()
        return code if code >= 0 else 128 - code

    def enter(self, command: Sequence[str], has_terminal: bool) -> Program:
        """Return the program that runs a command as one of the job's; see `Running`."""
        arguments = _arguments(command, self._user)
        return Program(arguments, self._environment, str(self._folder))

    def _signal(self, number: signal.Signals) -> None:
        # macOS raises PermissionError if all processes of the group are zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _read(self, output: IO[bytes]) -> None:
        with output:
            rest = b""
            while chunk := output.read(_CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                self._emit(lines)
            self._emit([rest])

    def _emit(self, lines: list[bytes]) -> None:
        decoded = [line.decode(errors="replace").rstrip("\r") for line in lines]
        # CloudWatch has no empty events, and Docker's awslogs driver omits empty lines.
        if printed := [line for line in decoded if line]:
            self._on_lines(printed)


class _ReadOnlyProcess(JobProcess):
    """A running command that can't write some folders."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        on_lines: OnLines,
        environment: Mapping[str, str],
        folder: Path,
        read_only: Sequence[Path],
    ) -> None:
        super().__init__(process, on_lines, environment, folder)
        self._read_only = read_only

    def wait(self) -> int:
        """Wait for the end, and make the folders writable again."""
        code = super().wait()
        _make_writable(self._read_only)
        return code


def _make_writable(folders: Sequence[Path]) -> None:
    for folder in folders:
        folder.chmod(0o755)


def _arguments(command: Sequence[str], user: int | None) -> list[str]:
    """Return the program and its arguments, as which a user runs a command."""
    program, arguments = _program(command), command[1:]
    if user is None:
        return [program, *arguments]
    return command_as(user, find_program(program), arguments)


def _program(command: Sequence[str]) -> str:
    if not command:
        raise FileNotFoundError("no command specified")
    return sys.executable if command[0] in ("python", "python3") else command[0]
