"""Multi-node parallel jobs of AWS Batch: their definitions, submissions and nodes.

The nodes of a job are equal here: one range of nodes. AWS does not document the wording of its
refusals, the state of a node that waits for the main node, or what happens if a node is terminated
alone: here, it ends, and the other nodes continue unless it is the main node.

Sources: "Multi-node parallel jobs" in the user guide of AWS Batch; NodeProperties, NodeOverrides
and ListJobs in its API reference; `generate_hostfile.sh` of AWS ParallelCluster for the value of
`AWS_BATCH_JOB_ID`, which is `JOB#NODE` on a node.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowyml_aws.core.emulated import NODE_ADDRESS_VARIABLE
from flowyml_aws.testing.batch.jobs import Job, Nodes
from flowyml_aws.testing.batch.validation import ClientException, check_container, check_overrides
from flowyml_aws.testing.machines.addresses import Addresses

__all__ = [
    "add_nodes",
    "check_node_properties",
    "main_container",
    "node_environment",
]

_MAX_NODES = 1000
_MAX_RANGES = 5
_RANGE = re.compile(r"(?P<first>\d*)(?P<colon>:?)(?P<last>\d*)")


def check_node_properties(request: Mapping[str, Any]) -> None:
    """Check the nodes of a RegisterJobDefinition request.

    Raises:
        ClientException: AWS would reject the request.
    """
    properties = request.get("nodeProperties")
    if request.get("type") != "multinode":
        if properties:
            raise ClientException("nodeProperties require a job definition of type multinode")
        return
    if not properties or request.get("containerProperties"):
        raise ClientException("A multinode job definition has nodeProperties, and no others")
    if "FARGATE" in (request.get("platformCapabilities") or ()):
        raise ClientException("Multi-node parallel jobs aren't supported on Fargate")
    number, main = properties.get("numNodes", 0), properties.get("mainNode", 0)
    if not 1 <= number <= _MAX_NODES:
        raise ClientException(f"numNodes must be between 1 and {_MAX_NODES}")
    if not 0 <= main < number:
        raise ClientException("mainNode must be less than numNodes")
    ranges: Sequence[Mapping[str, Any]] = properties.get("nodeRangeProperties") or ()
    if not 1 <= len(ranges) <= _MAX_RANGES:
        raise ClientException(f"A job can have up to {_MAX_RANGES} node ranges")
    covered = {node for each in ranges for node in _nodes_of(each["targetNodes"], number)}
    if covered != set(range(number)):
        raise ClientException("The node ranges must account for all nodes")
    for each in ranges:
        container = each.get("container") or {}
        kinds = {need.get("type") for need in container.get("resourceRequirements") or ()}
        if not container.get("image") or not {"VCPU", "MEMORY"} <= kinds:
            raise ClientException("The container of a node needs an image, VCPU and MEMORY")
        check_container(container)


def main_container(
    properties: Mapping[str, Any], request: Mapping[str, Any]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the container of all nodes, and its overrides in a SubmitJob request.

    Args:
        properties: Node properties of the job definition.
        request: Members of SubmitJob.

    Raises:
        ClientException: AWS would reject the request, or the nodes differ, which is not emulated.
    """
    if request.get("containerOverrides") or request.get("arrayProperties"):
        raise ClientException(
            "A multi-node parallel job can have neither containerOverrides nor arrayProperties"
        )
    if len(properties["nodeRangeProperties"]) > 1:
        raise ClientException("flowyml_aws.testing emulates nodes of one range only")
    (nodes,) = properties["nodeRangeProperties"]
    overrides = request.get("nodeOverrides") or {}
    number = overrides.get("numNodes")
    if number is not None:
        first, last = _read_range(nodes["targetNodes"])
        if last is not None:
            raise ClientException("numNodes can only override a node range with an open end")
        if not max(first, properties["mainNode"]) < number <= _MAX_NODES:
            raise ClientException(f"numNodes {number} is too small or exceeds {_MAX_NODES}")
    changes: Sequence[Mapping[str, Any]] = overrides.get("nodePropertyOverrides") or ()
    if any(each.get("targetNodes") != nodes["targetNodes"] for each in changes) or len(changes) > 1:
        raise ClientException("nodePropertyOverrides must target the node range of the definition")
    container = next((each.get("containerOverrides") or {} for each in changes), {})
    check_overrides(container)
    return copy.deepcopy(nodes["container"]), container


def add_nodes(
    job: Job, properties: Mapping[str, Any], request: Mapping[str, Any], addresses: Addresses
) -> None:
    """Make a job a multi-node job.

    Args:
        job: Job with the container of its main node.
        properties: Node properties of the job definition.
        request: Members of SubmitJob, which `main_container` has checked.
        addresses: Addresses for the nodes.
    """
    number = (request.get("nodeOverrides") or {}).get("numNodes") or properties["numNodes"]
    main = int(properties["mainNode"])
    jobs = [
        replace(
            job,
            arn=f"{job.arn}#{index}",
            job_id=f"{job.job_id}#{index}",
            tags={},
            attempts=[],
            timeout_s=job.timeout_s if index == main else None,  # that of the whole job
            parent=job,
            index=index,
            address=addresses.take(),
        )
        for index in range(number)
    ]
    job.nodes = Nodes(jobs, main, {**properties, "numNodes": number})


def node_environment(job: Job) -> dict[str, str]:
    """Return the variables that a node of a job has; empty for any other job."""
    if job.group is None:
        return {}
    main = job.group.main
    variables = {
        "AWS_BATCH_JOB_NODE_INDEX": str(job.index),
        "AWS_BATCH_JOB_NUM_NODES": str(len(job.group.jobs)),
        "AWS_BATCH_JOB_MAIN_NODE_INDEX": str(main.index),
        NODE_ADDRESS_VARIABLE: job.address,
    }
    if job is not main:
        variables["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = main.address
    return variables


def _read_range(text: str) -> tuple[int, int | None]:
    """Return the first and the last index of a range of nodes; None for an open end.

    Raises:
        ClientException: The range is invalid.
    """
    found = _RANGE.fullmatch(text)
    if found is None or not text:
        raise ClientException(f"Invalid node range: {text!r}")
    first = int(found["first"] or 0)
    last = first if not found["colon"] else int(found["last"]) if found["last"] else None
    if last is not None and last < first:
        raise ClientException(f"Invalid node range: {text!r}")
    return first, last


def _nodes_of(text: str, number: int) -> Iterator[int]:
    first, last = _read_range(text)
    if max(first, last or 0) >= number:
        raise ClientException(f"Node range {text!r} exceeds the number of nodes, {number}")
    yield from range(first, number if last is None else last + 1)
