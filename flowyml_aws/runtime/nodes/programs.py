"""Programs that a node runs for a step: torchrun, and the processes of a cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec

from flowyml_aws.core.distributed import Launcher
from flowyml_aws.core.errors import LauncherError

__all__ = ["check_installed", "ended_error", "running"]

_END_S = 10.0


def check_installed(module: str, launcher: Launcher) -> None:
    """Check that a module can be imported.

    Args:
        module: Name of the module, and of its package.
        launcher: Launcher that needs it.

    Raises:
        LauncherError: It can't.
    """
    if find_spec(module) is None:
        raise LauncherError(
            what=f"{module} is not installed in the image",
            why=f'the step has distributed="{launcher}", which needs it on each node',
            fix=f"add {module} to the requirements of the project, and build the image again",
        )


@contextlib.contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs, in the group of this process.

    Args:
        command: Program and arguments.
        variables: Environment variables in addition to those of this process.
    """
    process = subprocess.Popen(command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ended_error(program: str, code: int) -> LauncherError:
    """Return the error of a program that has failed."""
    return LauncherError(
        what=f"{program} ended with exit code {code}",
        why="its output in the log has the reason",
        fix="correct the cause, and run the pipeline again",
    )
