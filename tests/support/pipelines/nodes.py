"""Steps on several nodes, each in a job of its own: they add up, fail, lose a node or wait."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowyml_aws import Pipeline, ResourceRequirements, step

TWO, FOUR = ResourceRequirements(nodes=2), ResourceRequirements(nodes=4)


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


def meeting_point() -> tuple[str, int]:
    return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])


@contextmanager
def connected_to_main() -> Iterator[socket.socket]:
    """Connect to the process of rank 0, which may listen later."""
    while True:
        try:
            connection = socket.create_connection(meeting_point())
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    with connection:
        yield connection


def all_reduce(own: int) -> int:
    """Return the sum of the numbers of all nodes, on each of them."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank != 0:
        with connected_to_main() as connection, connection.makefile("rw") as stream:
            stream.write(f"{own}\n")
            stream.flush()
            return int(stream.readline())
    with socket.create_server(meeting_point()) as server:
        connections = [server.accept()[0] for _ in range(size - 1)]
    streams = [connection.makefile("rw") for connection in connections]
    total = own + sum(int(stream.readline()) for stream in streams)
    for connection, stream in zip(connections, streams, strict=True):
        stream.write(f"{total}\n")
        stream.close()
        connection.close()
    return total


@step(outputs=["start"])
def load() -> int:
    return 100


@step(inputs=["start"], outputs=["offset"], execution_group="sum")
def shift(start: int) -> int:
    return start + 1000


@step(
    inputs=["start", "offset"],
    outputs=["total", "facts"],
    execution_group="sum",
    resources=FOUR,
    cache="code_hash",
)
def add_up(start: int, offset: int, factor: int) -> tuple[int, dict[str, str]]:
    rank = int(os.environ["RANK"])
    print(f"rank {rank} adds {rank * factor}", flush=True)
    total = all_reduce(start + offset + rank * factor)
    hosts = Path(os.environ["FLOWYML_HOSTFILE"]).read_text().splitlines()
    return total, {"rank": str(rank), "nodes": os.environ["NNODES"], "hosts": str(len(hosts))}


@step(inputs=["total"], outputs=["after"], execution_group="sum")
def without_nodes(total: int) -> bool:
    return "MASTER_ADDR" in os.environ


@step(outputs=["failed"], execution_group="failing", resources=TWO)
def fail_on_another_node() -> None:
    if os.environ["RANK"] == "1":
        raise ValueError("no luck on this node")
    with socket.create_server(meeting_point()) as server:
        server.accept()  # forever


@step(outputs=["survived"], execution_group="losing", resources=TWO)
def lose_a_node(trace: str) -> int:
    lost = Path(f"{trace}.lost")
    if os.environ["RANK"] == "1" and not lost.exists():
        lost.touch()
        # As the platform does before it takes a host. SageMaker counts SIGKILL as used-up memory.
        os.kill(os.getpid(), signal.SIGTERM)
    return all_reduce(1)


@step(outputs=["late"], execution_group="slow", resources=TWO, timeout=1)
def exceed_the_timeout() -> None:
    time.sleep(600)


@step(outputs=["retried"], execution_group="retrying", resources=TWO, retry=1)
def succeed_when_called_again(trace: str) -> int:
    called = Path(f"{trace}.called")
    if os.environ["RANK"] == "1" and not called.exists():
        called.touch()
        raise ValueError("not yet")
    return all_reduce(1)


@step(outputs=["forever"], resources=TWO)
def wait_forever(trace: str) -> None:
    note(trace, f"{os.environ['RANK']} {os.getpid()}")
    time.sleep(600)


pipeline = Pipeline("nodes", context={"trace": "", "factor": 1}).add_steps(
    [
        load,
        shift,
        add_up,
        without_nodes,
        fail_on_another_node,
        lose_a_node,
        exceed_the_timeout,
        succeed_when_called_again,
    ]
)
adding = Pipeline("adding", context={"factor": 1}).add_steps([load, shift, add_up])
waiting = Pipeline("waiting_nodes", context={"trace": ""}).add_steps([wait_forever])
