"""Meeting of the nodes of a job, each a thread with its own variables."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowyml_aws.doctor.prove.efa import EfaFacts
from flowyml_aws.doctor.prove.meeting import Meeting, meet_nodes

pytestmark = pytest.mark.contract


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def meeting_of(rank: int, count: int, port: int, limit_s: float) -> Meeting:
    variables = {"NODE_RANK": rank, "NNODES": count, "MASTER_ADDR": "127.0.0.1"}
    environment = {name: str(value) for name, value in variables.items()}
    return meet_nodes({**environment, "MASTER_PORT": str(port)}, limit_s, efa_of(rank))


def efa_of(rank: int) -> EfaFacts:
    return EfaFacts(devices=[f"uverbs{rank}"], provider=None, not_emulated="")


def test_the_main_node_meets_all_others_whichever_starts_first() -> None:
    port = free_port()
    with ThreadPoolExecutor() as pool:
        last = [pool.submit(meeting_of, rank, 3, port, 30.0) for rank in (2, 1)]
        main = pool.submit(meeting_of, 0, 3, port, 30.0)
        assert main.result() == {
            "count": 3,
            "addresses": dict.fromkeys(("0", "1", "2"), "127.0.0.1"),
            "efa": {str(rank): efa_of(rank) for rank in range(3)},
        }
        assert [list(each.result()["addresses"]) for each in last] == [["2"], ["1"]]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_node_that_meets_nobody_fails(rank: int) -> None:
    with pytest.raises(OSError):
        meeting_of(rank, 2, free_port(), 0.01)
