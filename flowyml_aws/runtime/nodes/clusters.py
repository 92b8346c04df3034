"""Clusters of Ray and of Dask on the nodes of a step, which calls them on its main node.

Sources: https://docs.ray.io/en/latest/cluster/cli.html and
https://docs.dask.org/en/stable/deploying-cli.html
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

from flowyml_aws.core.distributed import Launcher
from flowyml_aws.core.errors import LauncherError
from flowyml_aws.runtime.nodes.environment import with_variables
from flowyml_aws.runtime.nodes.messages import NodeCall
from flowyml_aws.runtime.nodes.programs import check_installed, ended_error, running

__all__ = ["Cluster", "cluster_of", "dask_scheduler", "dask_worker", "ray_head", "ray_worker"]

_START_S = 120.0
"""Seconds for the start of a cluster: its processes import the same packages as the step."""
_POLL_S = 0.1


class _Engine(Protocol):
    """The programs of a kind of cluster, and its addresses."""

    name: ClassVar[str]
    launcher: ClassVar[Launcher]
    module: ClassVar[str]

    def head(self) -> list[list[str]]:
        """Return the arguments of Python for the programs of the main node."""

    def worker(self) -> list[str]:
        """Return the arguments of Python for the program of another node."""

    def variables(self) -> dict[str, str]:
        """Return the variables with which the function finds the cluster."""

    def counting(self) -> AbstractContextManager[Callable[[], int]]:
        """Return a block with a function that returns how many nodes have joined."""


class Cluster:
    """The part of a node in a cluster.

    Args:
        engine: Kind of the cluster.
        call: The call.
        variables: Environment variables of the call.
    """

    needs_inputs = False

    def __init__(self, engine: _Engine, call: NodeCall, variables: Mapping[str, str]) -> None:
        self._engine, self._call, self._variables = engine, call, variables

    def on_main(
        self, function: Callable[[], Any], go: Callable[[], None], stop: Callable[[], None]
    ) -> Any:
        engine = self._engine
        check_installed(engine.module, engine.launcher)
        with ExitStack() as stack:
            programs: list[subprocess.Popen[bytes]] = []
            for arguments in engine.head():
                command = [sys.executable, *arguments]
                programs.append(stack.enter_context(running(command, self._variables)))
                self._wait_until(self._is_listening, programs)
            stack.callback(stop)  # before the programs of this node end, which those of others need
            go()
            stack.enter_context(with_variables({**self._variables, **engine.variables()}))
            with engine.counting() as count:
                self._wait_until(lambda: count() >= len(self._call.members), programs)
            return function()

    def on_other(self, function: Callable[[], Any]) -> None:
        engine = self._engine
        check_installed(engine.module, engine.launcher)
        with running([sys.executable, *engine.worker()], self._variables) as program:
            code = program.wait()
        raise ended_error(engine.name, code)

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self._call.members[0].address, self._call.port), 1.0).close()
        except OSError:
            return False
        return True

    def _wait_until(
        self, is_reached: Callable[[], bool], programs: Sequence[subprocess.Popen[bytes]]
    ) -> None:
        deadline = time.monotonic() + _START_S
        while not is_reached():
            for program in programs:
                if (code := program.poll()) is not None:
                    raise ended_error(self._engine.name, code)
            if time.monotonic() >= deadline:
                raise LauncherError(
                    what=f"{self._engine.name} did not start on all nodes within {_START_S:g} s",
                    why="the output of its processes in the log has the reason",
                    fix="check that the nodes reach each other at all ports",
                )
            time.sleep(_POLL_S)


def cluster_of(
    launcher: Launcher, call: NodeCall, node: int, folder: Path, variables: Mapping[str, str]
) -> Cluster:
    """Return the part of a node in a cluster.

    Args:
        launcher: Kind of the cluster.
        call: The call.
        node: Index of the node.
        folder: Empty folder for files of the cluster.
        variables: Environment variables of the call.
    """
    engine = _Ray(call, node) if launcher == "ray" else _Dask(call, node, folder)
    return Cluster(engine, call, variables)


def ray_head(address: str, port: int) -> list[str]:
    """Return the arguments of Python for the head of a Ray cluster."""
    options = (f"--port={port}", f"--node-ip-address={address}", "--include-dashboard=false")
    return ["-m", "ray.scripts.scripts", "start", "--head", "--block", *options]


def ray_worker(head: str, address: str) -> list[str]:
    """Return the arguments of Python for another node of a Ray cluster."""
    options = (f"--address={head}", f"--node-ip-address={address}")
    return ["-m", "ray.scripts.scripts", "start", "--block", *options]


def dask_scheduler(address: str, port: int) -> list[str]:
    """Return the arguments of Python for the scheduler of a Dask cluster."""
    options = (f"--host={address}", f"--port={port}", "--no-dashboard", "--no-show")
    return ["-m", "distributed.cli.dask_scheduler", *options]


def dask_worker(scheduler: str, address: str, folder: Path) -> list[str]:
    """Return the arguments of Python for a worker of a Dask cluster."""
    options = (f"--host={address}", "--no-dashboard", f"--local-directory={folder}")
    return ["-m", "distributed.cli.dask_worker", scheduler, *options]


class _Ray:
    name: ClassVar[str] = "Ray"
    launcher: ClassVar[Launcher] = "ray"
    module: ClassVar[str] = "ray"

    def __init__(self, call: NodeCall, node: int) -> None:
        self._main, self._port = call.members[0].address, call.port
        self._own = call.members[node].address

    def head(self) -> list[list[str]]:
        return [ray_head(self._main, self._port)]

    def worker(self) -> list[str]:
        return ray_worker(f"{self._main}:{self._port}", self._own)

    def variables(self) -> dict[str, str]:
        return {"RAY_ADDRESS": f"{self._main}:{self._port}"}

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        ray: Any = import_module("ray")
        ray.init(log_to_driver=False, logging_level="warning")
        try:
            yield lambda: sum(1 for node in ray.nodes() if node["Alive"])
        finally:
            ray.shutdown()


class _Dask:
    name: ClassVar[str] = "Dask"
    launcher: ClassVar[Launcher] = "dask"
    module: ClassVar[str] = "distributed"

    def __init__(self, call: NodeCall, node: int, folder: Path) -> None:
        self._main, self._port = call.members[0].address, call.port
        self._own, self._folder = call.members[node].address, folder

    def head(self) -> list[list[str]]:
        return [dask_scheduler(self._main, self._port), self.worker()]

    def worker(self) -> list[str]:
        return dask_worker(self._address, self._own, self._folder)

    def variables(self) -> dict[str, str]:
        return {"DASK_SCHEDULER_ADDRESS": self._address}

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        dask: Any = import_module("dask")
        distributed: Any = import_module("distributed")
        dask.config.refresh()  # reads the variable, if the step has imported Dask before
        with distributed.Client(self._address, set_as_default=False) as client:
            yield lambda: len(client.scheduler_info(n_workers=-1)["workers"])

    @property
    def _address(self) -> str:
        return f"tcp://{self._main}:{self._port}"
