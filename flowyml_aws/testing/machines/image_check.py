"""Check of the image of an emulator's jobs: one container, started as jobs are."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing.machines.container import Container, Containers

__all__ = ["check_image"]

# Every job imports the runner, and calls the emulator on the loopback address of this machine.
_PROGRAM = """
import socket, sys
try:
    import flowyml_aws.job
except ImportError as error:
    sys.exit(f"the image has no flowyml_aws: {error}")
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10).close()
except OSError as error:
    sys.exit(f"containers can't connect to the emulator at {sys.argv[1]}:{sys.argv[2]}: {error}")
"""
_MEMORY_MIB = 512
_MAX_LINES = 5


def check_image(
    containers: Containers, engine: str, image: str, folder: Path, address: tuple[str, int]
) -> None:
    """Run one container of an image, with a memory limit, and wait for its end.

    Args:
        containers: Implementation that starts the jobs.
        engine: Name of the container engine, for errors.
        image: Name of the image.
        folder: New folder, the working directory of the container's engine.
        address: Host and port on which the emulator listens.

    Raises:
        SettingsError: The image does not exist or can't run jobs here; the error has the reason.
    """
    host, port = address
    folder.mkdir(parents=True)
    lines: list[str] = []
    container = Container(
        image=image,
        command=("python", "-c", _PROGRAM, host, str(port)),
        environment={},
        folder=folder,
        memory_mib=_MEMORY_MIB,
    )
    try:
        code = containers.start(container, lines.extend).wait()
    except (OSError, ValueError) as error:
        code = 1
        lines += str(error).splitlines()
    if code:
        raise SettingsError(
            what=f"{engine} can't run jobs of the image {image}",
            why="; ".join(lines[-_MAX_LINES:]) or f"a container exited with code {code}",
            fix="build the image with `flowyml-aws image build`, which prints its name, or correct "
            "what the reason names",
        )
