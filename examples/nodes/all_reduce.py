"""An all-reduce: four nodes add up their numbers, with plain sockets.

Run it, or only plan it:

    python examples/nodes/all_reduce.py                              on this machine: 4 processes
    flowyml-aws plan examples/nodes/all_reduce.py --backend batch    nodes and cost on AWS
"""

import os
import socket
import time
from contextlib import ExitStack

from flowyml_aws import Context, Pipeline, ResourceRequirements, step

FOUR_NODES = ResourceRequirements(cpu="1", memory="2Gi", nodes=4)


@step(outputs=["numbers"])
def draw(count: int):
    """Return the numbers to add up."""
    return list(range(1, count + 1))


# Called once on each node, at the same time. What rank 0 returns is the value of `total`.
@step(inputs=["numbers"], outputs=["total"], resources=FOUR_NODES)
def add_up(numbers: list):
    """Add up a share of the numbers on each node, then the sums of all nodes."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    share = sum(numbers[rank::size])
    total = all_reduce(share, rank, size)
    print(f"node {rank} of {size}: {share} of {total}")
    return total


def all_reduce(number: int, rank: int, size: int) -> int:
    """Return the sum of the numbers of all nodes, on each node."""
    meeting_point = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank > 0:
        with connect(meeting_point) as connection, connection.makefile("rw") as stream:
            print(number, file=stream, flush=True)
            return int(stream.readline())
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(meeting_point, backlog=size))
        connections = [stack.enter_context(server.accept()[0]) for _ in range(size - 1)]
        streams = [stack.enter_context(connection.makefile("rw")) for connection in connections]
        total = number + sum(int(stream.readline()) for stream in streams)
        for stream in streams:
            print(total, file=stream, flush=True)
        return total


def connect(address: tuple[str, int]) -> socket.socket:
    """Connect to rank 0, which may not listen yet."""
    for _ in range(600):
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise TimeoutError(f"rank 0 does not listen at {address[0]}:{address[1]}")


pipeline = Pipeline("all_reduce", Context(count=1000)).add_steps([draw, add_up])

if __name__ == "__main__":
    result = pipeline.run()
    print("total", result["total"])
