"""Meeting of the nodes of a job at its main node. Runs in the job."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import TypedDict

from flowyml_aws.core import clock
from flowyml_aws.doctor.prove.efa import EfaFacts

__all__ = ["Meeting", "meet_nodes"]

_PAUSE_S = 0.1


class Meeting(TypedDict):
    """The nodes that have met, as JSON values.

    `addresses` has the address of each node by its rank, as the main node sees it, and `efa` what
    the nodes have reported about their Elastic Fabric Adapters.
    """

    count: int
    addresses: dict[str, str]
    efa: dict[str, EfaFacts]


def meet_nodes(environment: Mapping[str, str], limit_s: float, efa: EfaFacts) -> Meeting:
    """Connect all nodes of a job with its main node, and return the nodes that it has met.

    Nodes find each other with the variables that torch uses: `NODE_RANK`, `NNODES`, `MASTER_ADDR`
    and `MASTER_PORT`. Other nodes than the main node return a meeting of themselves.

    Args:
        environment: Environment variables of the job.
        limit_s: Longest wait of the main node for each other node, and of these for the main node.
        efa: Elastic Fabric Adapters of this node.

    Raises:
        OSError: A node did not connect in time.
        KeyError: A variable is missing.
    """
    rank, count = environment["NODE_RANK"], int(environment["NNODES"])
    place = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    meeting = Meeting(count=count, addresses={rank: place[0]}, efa={rank: efa})
    if rank != "0":
        _call(place, {"rank": rank, "efa": efa}, limit_s)
    else:
        with socket.create_server(place) as server:
            server.settimeout(limit_s)
            while len(meeting["addresses"]) < count:
                connection, (address, *_) = server.accept()
                with connection, connection.makefile("r") as lines:
                    message = json.loads(lines.readline())
                meeting["addresses"][message["rank"]] = address
                meeting["efa"][message["rank"]] = message["efa"]
    return meeting


def _call(place: tuple[str, int], message: Mapping[str, object], limit_s: float) -> None:
    end = clock.monotonic() + limit_s
    while True:
        try:
            with socket.create_connection(place, timeout=limit_s) as connection:
                connection.sendall(f"{json.dumps(message)}\n".encode())
                return
        except OSError:
            if clock.monotonic() > end:
                raise
            clock.sleep(_PAUSE_S)  # the main node has not started to listen
