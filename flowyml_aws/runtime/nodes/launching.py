"""Ways to call the function of a step on several nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from flowyml_aws.runtime.nodes.environment import (
    call_environment,
    has_efa,
    hostfile,
    process_variables,
    with_variables,
)
from flowyml_aws.runtime.nodes.messages import NodeCall
from flowyml_aws.runtime.spec import StepSpec

__all__ = ["Launch", "launch_of"]


class Launch(Protocol):
    """A call of a function on one of the nodes.

    Attributes:
        needs_inputs: Whether `on_other` calls the function, which needs its inputs.
    """

    needs_inputs: bool

    def on_main(
        self, function: Callable[[], Any], go: Callable[[], None], stop: Callable[[], None]
    ) -> Any:
        """Run the main node's part, and return the value of the step.

        Args:
            function: Function of the step, with its arguments.
            go: Lets the other nodes start.
            stop: Stops the other nodes, and waits until they have stopped.
        """

    def on_other(self, function: Callable[[], Any]) -> None:
        """Run the part of another node until it ends or is stopped."""


def launch_of(spec: StepSpec, call: NodeCall, node: int, scratch: Path) -> Launch:
    """Return how a step is called on a node.

    Args:
        spec: Spec of the step.
        call: The call.
        node: Index of the node.
        scratch: Folder for files of the call.
    """
    folder = scratch / f"call-{call.number}-{node}"
    folder.mkdir(parents=True)
    hosts = folder / "hosts"
    hosts.write_text(hostfile(call.members), "utf-8")
    variables = call_environment(call, node, hosts, has_efa())
    if spec.distributed is None:
        return _OncePerNode({**variables, **process_variables(call, node)})
    if spec.distributed == "torchrun":
        from flowyml_aws.runtime.nodes.torchrun import Torchrun

        return Torchrun(call, node, folder, variables)
    from flowyml_aws.runtime.nodes.clusters import cluster_of

    return cluster_of(spec.distributed, call, node, folder, variables)


class _OncePerNode:
    """The function is called once on each node, by the runner."""

    needs_inputs = True

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def on_main(
        self, function: Callable[[], Any], go: Callable[[], None], stop: Callable[[], None]
    ) -> Any:
        go()
        with with_variables(self._variables):
            return function()

    def on_other(self, function: Callable[[], Any]) -> None:
        with with_variables(self._variables):
            function()
