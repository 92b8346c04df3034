from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from flowyml_aws.core.distributed import Launcher
from flowyml_aws.core.errors import LauncherError
from flowyml_aws.runtime.nodes.clusters import (
    Cluster,
    dask_scheduler,
    dask_worker,
    ray_head,
    ray_worker,
)
from flowyml_aws.runtime.nodes.launching import launch_of
from flowyml_aws.runtime.nodes.main_node import free_port
from flowyml_aws.runtime.nodes.messages import Member
from flowyml_aws.runtime.nodes.programs import check_installed
from tests.runtime.nodes.calls import call_of, step_spec

HEAD = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""
MAIN = Member(address="127.0.0.1", slots=1)


class Engine:
    """A cluster whose head only listens, and whose nodes join at the second look."""

    name: ClassVar[str] = "Engine"
    launcher: ClassVar[Launcher] = "ray"
    module: ClassVar[str] = "json"

    def __init__(self, head: str, port: int) -> None:
        self._head, self._port = head, port

    def head(self) -> list[list[str]]:
        return [["-S", "-c", self._head, str(self._port)]]

    def worker(self) -> list[str]:
        return ["-S", "-c", "raise SystemExit(3)"]

    def variables(self) -> dict[str, str]:
        return {"ENGINE_ADDRESS": "here"}

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        counts = iter([1, 2])
        yield lambda: next(counts)


def cluster_of(head: str, port: int) -> Cluster:
    call = call_of(MAIN, MAIN).model_copy(update={"port": port})
    return Cluster(Engine(head, port), call, {})


@pytest.mark.contract
def test_a_cluster_runs_while_the_function_does() -> None:
    events: list[str] = []
    cluster = cluster_of(HEAD, free_port("127.0.0.1"))
    before = set(psutil.Process().children())  # an emulator of this worker has some

    def started() -> int:
        return len(set(psutil.Process().children()) - before)

    def stop() -> None:
        events.append(f"stop while {started()} program runs")

    def function() -> int:
        events.append("call")
        return 42

    value = cluster.on_main(function, lambda: events.append("go"), stop)
    assert value == 42
    assert events == ["go", "call", "stop while 1 program runs"]
    assert started() == 0


@pytest.mark.contract
def test_a_cluster_whose_head_ends_is_an_error_that_names_it() -> None:
    cluster = cluster_of("raise SystemExit(4)", free_port("127.0.0.1"))
    with pytest.raises(LauncherError, match="Engine ended with exit code 4"):
        cluster.on_main(lambda: time.sleep(600), lambda: None, lambda: None)


@pytest.mark.contract
def test_a_cluster_whose_node_ends_is_an_error_that_names_it() -> None:
    with pytest.raises(LauncherError, match="Engine ended with exit code 3"):
        cluster_of(HEAD, 1).on_other(lambda: None)


def test_nodes_of_a_cluster_have_their_own_addresses() -> None:
    assert "--node-ip-address=10.0.0.1" in ray_head("10.0.0.1", 1234)
    assert {"--address=10.0.0.1:1234", "--node-ip-address=10.0.0.2"} <= set(
        ray_worker("10.0.0.1:1234", "10.0.0.2")
    )
    assert {"--host=10.0.0.1", "--port=1234"} <= set(dask_scheduler("10.0.0.1", 1234))
    worker = dask_worker("tcp://10.0.0.1:1234", "10.0.0.2", Path("/folder"))
    assert {"tcp://10.0.0.1:1234", "--host=10.0.0.2"} <= set(worker)


def test_a_missing_package_is_an_error_that_names_it() -> None:
    with pytest.raises(LauncherError) as raised:
        check_installed("no_such_engine", "ray")
    assert raised.value.what == "no_such_engine is not installed in the image"
    assert "requirements" in raised.value.fix


def test_a_call_writes_the_hosts_file_that_it_names(tmp_path: Path) -> None:
    seen: list[str] = []

    def read() -> None:
        import os

        seen.append(Path(os.environ["FLOWYML_HOSTFILE"]).read_text("utf-8"))

    launch_of(step_spec(), call_of(MAIN, MAIN), 1, tmp_path).on_other(read)
    assert seen == ["127.0.0.1 slots=1\n127.0.0.1 slots=1\n"]
