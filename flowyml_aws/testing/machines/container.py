"""The container of a job, and the interface that runs it: as a process or in a container engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Container", "Containers", "OnLines", "Program", "Running"]

OnLines = Callable[[list[str]], None]


@dataclass(frozen=True, slots=True)
class Container:
    """A command in an image.

    Attributes:
        image: Image name.
        command: Program and arguments, or arguments of the entrypoint; empty for the image's
            default.
        environment: Variables that the service and the job add to the image's environment.
        folder: Working directory on this machine: empty at the start, removed at the end.
        entrypoint: Replacement for the image's entrypoint; empty for the image's default.
        volumes: Folders of this machine by their mount point in the container.
        memory_mib: Limit above which the kernel kills the container; None for no limit.
        shared_memory_mib: Size of /dev/shm; None for the engine's default.
        gpus: Number of GPUs.
        scratch: Folder on the disk of its instance, for everything that it writes outside of
            `folder`; None if the disk is not limited.
    """

    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    entrypoint: Sequence[str] = ()
    volumes: Mapping[str, Path] = field(default_factory=dict)
    memory_mib: int | None = None
    shared_memory_mib: int | None = None
    gpus: int = 0
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A program on this machine that runs a command in a container.

    Attributes:
        arguments: Program and arguments.
        environment: Complete environment; None for that of its caller.
        folder: Working directory; None for that of its caller.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] | None = None
    folder: str | None = None


class Running(Protocol):
    """A container that was started."""

    @property
    def pid(self) -> int:
        """Process id on this machine."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def wait(self) -> int:
        """Wait for the end and return the exit code as Docker reports it: 128+n after signal n."""

    def enter(self, command: Sequence[str], has_terminal: bool) -> Program:
        """Return the program that runs another command in the container.

        Args:
            command: Program and arguments.
            has_terminal: Whether its caller has a terminal.

        Raises:
            OSError: The program does not exist.
        """

    @property
    def is_out_of_memory(self) -> bool:
        """True if it was killed for exceeding its memory limit; valid after `wait`."""


class Containers(Protocol):
    """Starts containers."""

    def start(self, container: Container, on_lines: OnLines) -> Running:
        """Start a container.

        Args:
            container: Container to run.
            on_lines: Callback for lines of stdout and stderr, without line ends, as they arrive;
                called on a separate thread.

        Raises:
            OSError, ValueError: The container can't be started.
        """
