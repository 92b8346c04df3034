"""What a job runs, and the seam behind which it runs: a process of this machine, or a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Container", "Containers", "OnLines", "Running", "credentials_of"]

OnLines = Callable[[list[str]], None]


def credentials_of(role_arn: str | None) -> dict[str, str]:
    """Variables with which a container is recognised by its role's name, as the platform gives."""
    return {"AWS_ACCESS_KEY_ID": role_arn.rpartition("/")[2]} if role_arn else {}


@dataclass(frozen=True, slots=True)
class Container:
    """A command in an image.

    Attributes:
        image: Its name.
        command: The program and its arguments, or the arguments of the entrypoint; empty is the
            image's own.
        environment: What the job's API and the job itself add to the image's environment.
        folder: On this machine, empty, removed at the end: the working directory.
        entrypoint: What takes the place of the image's own; empty is the image's own.
        volumes: Directories of the container to the folders of this machine that they are.
        memory_mib: Beyond it the kernel ends it; None is unlimited.
        shared_memory_mib: Size of its /dev/shm; None is the engine's own.
    """

    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    entrypoint: Sequence[str] = ()
    volumes: Mapping[str, Path] = field(default_factory=dict)
    memory_mib: int | None = None
    shared_memory_mib: int | None = None


class Running(Protocol):
    """A container that was started."""

    @property
    def pid(self) -> int:
        """The process on this machine."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def wait(self) -> int:
        """Wait for the end; the exit code as Docker tells it, 128+n after signal n."""

    @property
    def is_out_of_memory(self) -> bool:
        """Whether it was ended for the memory that it used; known after `wait`."""


class Containers(Protocol):
    """Starts containers."""

    def start(self, container: Container, on_lines: OnLines) -> Running:
        """Start one.

        Args:
            container: What to run.
            on_lines: Gets the lines of stdout and stderr as they come, without line ends, on a
                thread of its own.

        Raises:
            OSError, ValueError: It can't be started.
        """
