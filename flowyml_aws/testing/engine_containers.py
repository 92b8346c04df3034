"""Jobs in real containers, by Docker or podman: their image, their user, their memory limit."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event, Thread

from flowyml_aws.images.engine import Engine
from flowyml_aws.testing.container import Container, OnLines
from flowyml_aws.testing.process import JobProcess, start_process

__all__ = ["EngineContainer", "EngineContainers"]

_ENDING = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}"
_NEVER_RAN = ("configured", "created", "initialized")
_NOTE = "oom"
_AGAIN_S = 0.1  # until a container that is starting can get a signal
_TAIL = 1000  # characters of what the engine said


class EngineContainers:
    """Runs each container with an engine of this machine.

    Containers share this machine's network: the emulator listens on its loopback address.

    Args:
        engine: Docker or podman.
        environment: Of the engine's program.
    """

    def __init__(self, engine: Engine, environment: dict[str, str]) -> None:
        self._engine = engine
        self._environment = environment

    def start(self, container: Container, on_lines: OnLines) -> EngineContainer:
        """Start a container; see `Containers`.

        Raises:
            OSError, ValueError: It can't be started.
        """
        name = f"flowyml-aws-{container.folder.name}"
        run = partial(_run, self._engine.program, self._environment)
        _checked(run(["create", *_options(name, container)]))
        try:
            return EngineContainer(
                self._engine.program,
                name,
                self._environment,
                container.folder,
                on_lines,
            )
        except BaseException:
            run(["rm", "--force", name])
            raise


class EngineContainer:
    """A container of an engine.

    Args:
        program: The engine's.
        name: Of a container that was created.
        environment: Of the engine's program.
        folder: Where that is started.
        on_lines: As of `Containers.start`.

    Attributes:
        pid: The process of the engine that is attached to the container.
        is_out_of_memory: Whether the kernel ended it for its memory; known after `wait`.
    """

    def __init__(
        self,
        program: str,
        name: str,
        environment: dict[str, str],
        folder: Path,
        on_lines: OnLines,
    ) -> None:
        self._folder = folder
        self._name = name
        self._run = partial(_run, program, environment)
        self._has_ended = Event()
        self.is_out_of_memory = False
        command = [program, "start", "--attach", "--sig-proxy=false", name]
        self._client = JobProcess(start_process(command, environment, folder), on_lines)
        self.pid = self._client.pid

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process."""
        self._send("TERM")

    def kill(self) -> None:
        """Send SIGKILL to all of the container."""
        self._send("KILL")

    def wait(self) -> int:
        """Wait for the end, and remove the container; its exit code.

        Raises:
            OSError: The image has no such program.
        """
        attached = self._client.wait()
        self._has_ended.set()
        told = self._run(["inspect", "--format", _ENDING, self._name])
        self._run(["rm", "--force", self._name])
        if told.returncode:
            return attached or 1  # somebody removed it
        status, code, out_of_memory = told.stdout.split()
        if status in _NEVER_RAN:
            raise OSError("the container was not started: it printed why, or its image is broken")
        # podman's monitor notes it where it was started; with cgroups v1 podman misses that.
        self.is_out_of_memory = out_of_memory == "true" or (self._folder / _NOTE).exists()
        return int(code)

    def _send(self, signal: str) -> None:
        # On a thread: the caller holds a lock, and the engine takes its time.
        Thread(target=self._keep_sending, args=(signal,), daemon=True).start()

    def _keep_sending(self, signal: str) -> None:
        """Send a signal once the container takes it: it may be on its way up."""
        while not self._has_ended.is_set():
            if self._run(["kill", "--signal", signal, self._name]).returncode == 0:
                return
            self._has_ended.wait(_AGAIN_S)


def _options(name: str, container: Container) -> list[str]:
    options = ["--name", name, "--network", "host", "--label", "flowyml-aws=emulator"]
    if container.memory_mib is not None:
        # Without swap, as on the machines of Batch.
        limit = f"{container.memory_mib}m"
        options += ["--memory", limit, "--memory-swap", limit]
    if container.shared_memory_mib is not None:
        options += ["--shm-size", f"{container.shared_memory_mib}m"]
    for variable, value in container.environment.items():
        options += ["--env", f"{variable}={value}"]
    for inside, folder in container.volumes.items():
        options += ["--volume", f"{folder}:{inside}"]
    entrypoint: Sequence[str] = container.entrypoint
    if entrypoint:
        options += ["--entrypoint", entrypoint[0]]
    return [*options, "--", container.image, *entrypoint[1:], *container.command]


def _run(
    program: str, environment: dict[str, str], arguments: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _checked(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise OSError(done.stderr.strip()[-_TAIL:] or f"the engine ended with {done.returncode}")
