"""Environment variables of a call on several nodes, as torch and MPI programs read them.

Sources: https://docs.pytorch.org/docs/stable/elastic/run.html (environment variables),
the manual page of mpirun of Open MPI (hostfile), and the page "Get started with EFA and NCCL" of
the user guide of EC2 (`FI_PROVIDER`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from flowyml_aws.runtime.nodes.messages import Member, NodeCall

__all__ = [
    "HOSTFILE_VARIABLE",
    "call_environment",
    "gpu_count",
    "has_efa",
    "hostfile",
    "process_variables",
    "this_machines_gpus",
    "with_variables",
]

HOSTFILE_VARIABLE = "FLOWYML_HOSTFILE"
_DEVICES = Path("/dev")
_GPU = re.compile(r"nvidia\d+")
_EFA = Path("/dev/infiniband")


def call_environment(
    call: NodeCall, node: int, hostfile_path: Path, is_efa: bool
) -> dict[str, str]:
    """Return the variables of a call that are the same for all processes of a node.

    Args:
        call: The call.
        node: Index of the node.
        hostfile_path: File with the addresses of the nodes.
        is_efa: Whether the machine has an Elastic Fabric Adapter.
    """
    variables = {
        "MASTER_ADDR": call.members[0].address,
        "MASTER_PORT": str(call.port),
        "NODE_RANK": str(node),
        "GROUP_RANK": str(node),
        "NNODES": str(len(call.members)),
        HOSTFILE_VARIABLE: str(hostfile_path),
    }
    return {**variables, "FI_PROVIDER": "efa"} if is_efa else variables


def process_variables(call: NodeCall, node: int) -> dict[str, str]:
    """Return the variables of a function that is called once on each node."""
    return {
        "RANK": str(node),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(len(call.members)),
        "LOCAL_WORLD_SIZE": "1",
    }


def hostfile(members: Sequence[Member]) -> str:
    """Return a hosts file, as MPI and DeepSpeed read it: `ADDRESS slots=N` for each node."""
    return "".join(f"{member.address} slots={member.slots}\n" for member in members)


def gpu_count(devices: Iterable[str], environment: Mapping[str, str]) -> int:
    """Return the number of GPUs that this process may use.

    Args:
        devices: Names of the device files; a container has those of its own GPUs.
        environment: Environment variables, of which `CUDA_VISIBLE_DEVICES` selects GPUs.
    """
    found = sum(1 for name in devices if _GPU.fullmatch(name))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, sum(1 for name in visible.split(",") if name.strip() not in ("", "-1")))


def this_machines_gpus() -> int:
    """Return the number of GPUs of this node."""
    try:
        return gpu_count([file.name for file in _DEVICES.iterdir()], os.environ)
    except OSError:
        return 0


def has_efa(devices: Path = _EFA) -> bool:
    """Return whether this container has an Elastic Fabric Adapter."""
    try:
        return any(file.name.startswith("uverbs") for file in devices.iterdir())
    except OSError:
        return False


@contextlib.contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
