"""Steps that torchrun starts in one process for each GPU of each node.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.runtime.failures import NodeFailure
from flowyml_aws.runtime.nodes.messages import NodeCall, Outcome
from flowyml_aws.runtime.nodes.programs import check_installed, ended_error, running

__all__ = ["CALL", "RETURNED", "Torchrun", "failure_file", "torchrun_command"]

CALL = "call.json"
RETURNED = "returned.pickle"
_FAILURES = "failed-{}.json"
_PROCESS = "flowyml_aws.job.rank"


class Torchrun:
    """The part of a node: an agent of torchrun, which starts the processes of the node.

    Args:
        call: The call.
        node: Index of the node.
        folder: Empty folder, which the processes of the node share with this one.
        variables: Environment variables of the call.
    """

    needs_inputs = False

    def __init__(
        self, call: NodeCall, node: int, folder: Path, variables: Mapping[str, str]
    ) -> None:
        self._call, self._node, self._folder, self._variables = call, node, folder, variables

    def on_main(
        self, function: Callable[[], Any], go: Callable[[], None], stop: Callable[[], None]
    ) -> Any:
        check_installed("torch", "torchrun")
        go()
        self._run()
        # Written by a process of this machine, into a folder of this user.
        return pickle.loads((self._folder / RETURNED).read_bytes())  # noqa: S301

    def on_other(self, function: Callable[[], Any]) -> None:
        check_installed("torch", "torchrun")
        self._run()

    def _run(self) -> None:
        (self._folder / CALL).write_bytes(self._call.to_json())
        command = [sys.executable, *torchrun_command(self._call, self._node, self._folder)]
        # torchrun sets those of each process itself, and 1 thread for each unless this is set.
        with running(command, {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}) as agent:
            code = agent.wait()
        failures = [
            read_document(Outcome, file.read_bytes(), str(file))
            for file in self._folder.glob(_FAILURES.format("*"))
        ]
        if failures:
            first = min(failures, key=lambda outcome: outcome.at)
            assert first.failure is not None
            raise NodeFailure(first.failure, first.at)
        if code:
            raise ended_error("torchrun", code)


def torchrun_command(call: NodeCall, node: int, folder: Path) -> list[str]:
    """Return the arguments of Python for the agent of a node.

    Options have underscores: versions before 2.0 have no others.
    """
    return [
        *("-m", "torch.distributed.run"),
        f"--nnodes={len(call.members)}",
        f"--node_rank={node}",
        f"--nproc_per_node={call.members[node].slots}",
        f"--master_addr={call.members[0].address}",
        f"--master_port={call.port}",
        *("-m", _PROCESS, str(folder)),
    ]


def failure_file(rank: int) -> str:
    """Return the name of the file in which a process describes its failure."""
    return _FAILURES.format(rank)
