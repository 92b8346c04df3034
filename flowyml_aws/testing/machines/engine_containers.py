"""Jobs in real Docker or podman containers, with their image, user and memory limit."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread

from flowyml_aws.core.emulated import NOT_EMULATED
from flowyml_aws.images.engine import Engine
from flowyml_aws.testing.machines.container import Container, OnLines, Program
from flowyml_aws.testing.machines.process import JobProcess, start_process
from flowyml_aws.testing.registry.images import PULL_FAILED

__all__ = ["EngineContainer", "EngineContainers"]

_STATE_FORMAT = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}"
_NEVER_RAN = ("configured", "created", "initialized")
_OOM_FILE = "oom"
_RETRY_S = 0.1  # a container that is starting can't receive signals yet
_MAX_ERROR_CHARS = 1000


class EngineContainers:
    """Starts each container with a container engine on this machine.

    Containers use this machine's network, because the emulator listens on the loopback address. If
    the disk of their instance is limited, podman keeps their file systems on it; Docker can't.

    Args:
        engine: Docker or podman.
        environment: Environment of the engine's program.
        pull: Function that pulls an image of the account's registry, and returns its name here.
    """

    def __init__(
        self, engine: Engine, environment: dict[str, str], pull: Callable[[str], str]
    ) -> None:
        self._engine = engine
        self._environment = environment
        self._pull = pull
        self._images: str | None = None

    def start(self, container: Container, on_lines: OnLines) -> EngineContainer:
        """Start a container; see `Containers`.

        Raises:
            OSError, ValueError: The container can't be started.
        """
        container = replace(
            container,
            image=self._pull(container.image),
            environment={**container.environment, **self._not_emulated(container)},
        )
        name = f"flowyml-aws-{container.folder.name}"
        command = self._command(container.scratch)
        run = partial(_run, command, self._environment)
        created = run(["create", *_options(name, container)])
        if created.returncode and run(["image", "inspect", container.image]).returncode:
            raise OSError(
                f"{PULL_FAILED}manifest for {container.image} not found: "
                f"{created.stderr.strip()[-_MAX_ERROR_CHARS:]}"
            )
        _check(created)
        try:
            return EngineContainer(
                command,
                name,
                self._environment,
                container.folder,
                on_lines,
            )
        except BaseException:
            run(["rm", "--force", name])
            raise

    def _not_emulated(self, container: Container) -> dict[str, str]:
        """Return the variables about what containers on this machine can't imitate."""
        reasons = {}
        if container.scratch is not None and self._engine.name != "podman":
            reasons["DISK"] = "Docker has no option for the disk of a container"
        if container.gpus:
            reasons["GPU"] = "containers of the emulator have no GPU"
        return {f"{NOT_EMULATED}{fact}": reason for fact, reason in reasons.items()}

    def _command(self, scratch: Path | None) -> list[str]:
        """Return the engine's command; podman keeps the container on its instance's disk."""
        if scratch is None or self._engine.name != "podman":
            return [self._engine.program]
        if self._images is None:
            command = [self._engine.program, "info", "--format", "{{.Store.GraphRoot}}"]
            self._images = _check(_run(command, self._environment, [])).stdout.strip()
        root = scratch.parent / "containers"
        images = f"additionalimagestore={self._images}"
        return [self._engine.program, "--root", str(root), "--storage-opt", images]


class EngineContainer:
    """A running container of Docker or podman.

    Args:
        command: Path of the engine's program, and its global options.
        name: Name of a container that was created.
        environment: Environment of the engine's program.
        folder: Working directory of the engine's program.
        on_lines: Same as in `Containers.start`.

    Attributes:
        pid: Id of the engine process that is attached to the container.
        is_out_of_memory: Whether the kernel killed it for its memory use; valid after `wait`.
    """

    def __init__(
        self,
        command: Sequence[str],
        name: str,
        environment: dict[str, str],
        folder: Path,
        on_lines: OnLines,
    ) -> None:
        self._folder = folder
        self._name = name
        self._command = command
        self._run = partial(_run, command, environment)
        self._has_ended = Event()
        self.is_out_of_memory = False
        start = [*command, "start", "--attach", "--sig-proxy=false", name]
        process = start_process(start, environment, folder)
        self._client = JobProcess(process, on_lines, environment, folder)
        self.pid = self._client.pid

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process."""
        self._send("TERM")

    def kill(self) -> None:
        """Send SIGKILL to all processes of the container."""
        self._send("KILL")

    def wait(self) -> int:
        """Wait for the end, remove the container, and return its exit code.

        Raises:
            OSError: The container never started, for example because the image lacks the program.
        """
        client_code = self._client.wait()
        self._has_ended.set()
        inspection = self._run(["inspect", "--format", _STATE_FORMAT, self._name])
        self._run(["rm", "--force", self._name])
        if inspection.returncode:
            return client_code or 1  # the container was removed by something else
        status, code, out_of_memory = inspection.stdout.split()
        if status in _NEVER_RAN:
            raise OSError("The container did not start: see its output, or check the image")
        # podman's monitor writes this file to its working directory. With cgroups v1, podman itself
        # misses that a container ran out of memory.
        self.is_out_of_memory = out_of_memory == "true" or (self._folder / _OOM_FILE).exists()
        return int(code)

    def enter(self, command: Sequence[str], has_terminal: bool) -> Program:
        """Return the engine's program that runs a command in the container; see `Running`."""
        terminal = ["--tty"] if has_terminal else []
        return Program([*self._command, "exec", "--interactive", *terminal, self._name, *command])

    def _send(self, signal: str) -> None:
        # On a thread: the caller holds a lock, and the engine is slow.
        Thread(target=self._keep_sending, args=(signal,), daemon=True).start()

    def _keep_sending(self, signal: str) -> None:
        """Send a signal, retrying while the container is still starting."""
        while not self._has_ended.is_set():
            if self._run(["kill", "--signal", signal, self._name]).returncode == 0:
                return
            self._has_ended.wait(_RETRY_S)


def _options(name: str, container: Container) -> list[str]:
    options = ["--name", name, "--network", "host", "--label", "flowyml-aws=emulator"]
    if container.memory_mib is not None:
        # No swap, as on Batch instances.
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
    command: Sequence[str], environment: dict[str, str], arguments: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _check(process: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    if process.returncode:
        message = process.stderr.strip()[-_MAX_ERROR_CHARS:]
        raise OSError(message or f"The container engine exited with status {process.returncode}")
    return process
