from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowyml_aws.runtime.nodes.environment import (
    call_environment,
    gpu_count,
    hostfile,
    process_variables,
    with_variables,
)
from flowyml_aws.runtime.nodes.messages import Member
from flowyml_aws.runtime.nodes.on_this_machine import loopback_address
from flowyml_aws.runtime.nodes.torchrun import torchrun_command
from tests.runtime.nodes.calls import call_of


def test_a_call_has_the_variables_that_torch_reads() -> None:
    call = call_of(Member(address="10.0.0.1", slots=1), Member(address="10.0.0.2", slots=1))
    assert call_environment(call, 1, Path("/hosts"), is_efa=False) == {
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "1234",
        "NODE_RANK": "1",
        "GROUP_RANK": "1",
        "NNODES": "2",
        "FLOWYML_HOSTFILE": "/hosts",
    }
    assert process_variables(call, 1) == {
        "RANK": "1",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
    }


def test_libfabric_uses_the_efa_of_the_machine() -> None:
    call = call_of(Member(address="10.0.0.1", slots=1))
    assert call_environment(call, 0, Path("/hosts"), is_efa=True)["FI_PROVIDER"] == "efa"


def test_the_hosts_file_has_a_line_for_each_node() -> None:
    members = (Member(address="10.0.0.1", slots=8), Member(address="10.0.0.2", slots=8))
    assert hostfile(members) == "10.0.0.1 slots=8\n10.0.0.2 slots=8\n"


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 2),
        ({"CUDA_VISIBLE_DEVICES": "1"}, 1),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
    ],
)
def test_the_gpus_of_a_node_are_those_that_its_processes_see(
    variables: dict[str, str], count: int
) -> None:
    devices = ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"]
    assert gpu_count(devices, variables) == count


def test_nodes_of_this_machine_have_addresses_of_their_own_where_the_system_has_them() -> None:
    assert [loopback_address(index, "linux") for index in (0, 1, 254, 255, 999)] == [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.255",
        "127.0.1.0",
        "127.0.3.232",
    ]
    assert loopback_address(3, "darwin") == "127.0.0.1"


def test_torchrun_starts_a_process_for_each_gpu_of_the_node() -> None:
    call = call_of(Member(address="10.0.0.1", slots=8), Member(address="10.0.0.2", slots=4))
    assert torchrun_command(call, 1, Path("/folder")) == [
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        "--node_rank=1",
        "--nproc_per_node=4",
        "--master_addr=10.0.0.1",
        "--master_port=1234",
        "-m",
        "flowyml_aws.job.rank",
        "/folder",
    ]


def test_variables_of_a_call_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "of the user")
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with with_variables({"RANK": "0", "MASTER_PORT": "1"}):
        assert (os.environ["RANK"], os.environ["MASTER_PORT"]) == ("0", "1")
    assert os.environ["RANK"] == "of the user"
    assert "MASTER_PORT" not in os.environ
