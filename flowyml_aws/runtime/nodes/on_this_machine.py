"""Nodes as processes of this machine: the main node starts the others, and labels their output."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO

from flowyml_aws.core.emulated import NODE_ADDRESS_VARIABLE
from flowyml_aws.runtime.nodes.identity import NODE_VARIABLE

__all__ = ["NodeProcess", "end_nodes", "loopback_address", "start_node"]

_STDOUT = 1
_LONGEST_LINE = 64 * 1024
_END_S = 10.0


def loopback_address(index: int, platform: str = sys.platform) -> str:
    """Return the address of a node: Linux answers at all addresses of 127.0.0.0/8.

    Args:
        index: Index of the node.
        platform: Operating system; others than Linux have a single such address.
    """
    if platform != "linux":
        return "127.0.0.1"
    high, low = divmod(index + 1, 256)
    return f"127.0.{high}.{low}"


class NodeProcess:
    """The process of another node."""

    def __init__(self, index: int, process: subprocess.Popen[bytes]) -> None:
        self.index = index
        self._process = process
        assert process.stdout is not None
        self._copier = threading.Thread(
            target=_copy_lines, args=(process.stdout, f"[node {index}] ".encode()), daemon=True
        )
        self._copier.start()

    def exit_code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()

    def end(self, deadline: float) -> None:
        """Wait until it has ended, and its output is copied; kill it at the deadline."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._copier.join(1.0)  # longer only if a process of the step keeps the pipe open


def start_node(
    index: int, count: int, argument: str, environment: Mapping[str, str]
) -> NodeProcess:
    """Start another node of the job of this process.

    It belongs to the group of this process, so that whatever ends the job ends it, too.

    Args:
        index: Index of the node.
        count: Number of nodes.
        argument: Argument of the runner.
        environment: Environment variables of the main node.

    Raises:
        OSError: The process can't be started.
    """
    own = {NODE_VARIABLE: f"{index}/{count}", NODE_ADDRESS_VARIABLE: loopback_address(index)}
    process = subprocess.Popen(
        [sys.executable, "-m", "flowyml_aws.job", argument],
        env={**environment, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return NodeProcess(index, process)


def end_nodes(processes: list[NodeProcess]) -> None:
    """Wait until other nodes have ended, and kill those that do not."""
    deadline = time.monotonic() + _END_S
    for process in processes:
        process.end(deadline)


def _copy_lines(output: IO[bytes], label: bytes) -> None:
    """Copy lines to the output of this process, each in one write, so that none are mixed."""
    with output:
        while line := output.readline(_LONGEST_LINE):
            ended = line if line.endswith(b"\n") else line + b"\n"
            with contextlib.suppress(OSError):  # the reader of this process is gone
                os.write(_STDOUT, label + ended)
