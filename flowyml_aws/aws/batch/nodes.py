"""Jobs on several nodes: multi-node parallel jobs of AWS Batch.

A job's state, times and status reason are those of its main node. Each node is described by the id
of the job with its index, such as `JOB#0`. AWS documents no container in the description of the job
itself, so exit codes and log streams are taken from its main node.

Sources: "Multi-node parallel jobs" in the user guide of AWS Batch, and NodeOverrides in its API
reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from flowyml_aws.aws.batch.jobs import describe_jobs, log_of
from flowyml_aws.aws.log_streams import NodeStreams

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import AttemptDetailTypeDef, JobDetailTypeDef

__all__ = ["ALL_NODES", "MAIN_NODE", "node_id", "streams_of_nodes", "with_main_nodes"]

ALL_NODES = "0:"
"""Range of all nodes. Its end is open, so that a submission can override the number of nodes."""
MAIN_NODE = 0


def node_id(job_id: str, node: int = MAIN_NODE) -> str:
    """Return the id of a node of a job."""
    return f"{job_id}#{node}"


def with_main_nodes(details: Iterable[JobDetailTypeDef]) -> Iterator[JobDetailTypeDef]:
    """Yield the details of jobs, those of multi-node jobs completed by those of their main nodes.

    Jobs on one machine come first. Main nodes are not yielded by themselves.

    Args:
        details: Descriptions of jobs and of main nodes, in any order.
    """
    jobs: list[JobDetailTypeDef] = []
    main_nodes: dict[str, JobDetailTypeDef] = {}
    for detail in details:
        job_id, is_node, _ = detail["jobId"].partition("#")
        if is_node:
            main_nodes[job_id] = detail
        elif "nodeProperties" in detail:
            jobs.append(detail)
        else:
            yield detail
    for job in jobs:
        main_node = main_nodes.get(job["jobId"])
        yield job if main_node is None else _completed(job, main_node)


def streams_of_nodes(batch: BatchClient, job_id: str, nodes: int) -> list[NodeStreams]:
    """Return the log of each node of a job, with one call for each 100 nodes.

    Args:
        batch: Batch client.
        job_id: Id of the job.
        nodes: Number of its nodes.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    indexes = {node_id(job_id, node): node for node in range(nodes)}
    logs = {
        indexes[detail["jobId"]]: log_of(detail) for detail in describe_jobs(batch, list(indexes))
    }
    return [NodeStreams(node, logs[node].group, logs[node].streams) for node in sorted(logs)]


def _completed(job: JobDetailTypeDef, main_node: JobDetailTypeDef) -> JobDetailTypeDef:
    completed = job.copy()
    completed["attempts"] = _attempts(job.get("attempts", ()), main_node.get("attempts", ()))
    if "container" in main_node:
        completed["container"] = main_node["container"]
    return completed


def _attempts(
    of_job: Sequence[AttemptDetailTypeDef], of_main_node: Sequence[AttemptDetailTypeDef]
) -> list[AttemptDetailTypeDef]:
    """Return the attempts of a job with the containers of its main node."""
    attempts: list[AttemptDetailTypeDef] = []
    for attempt, main in zip_longest(of_job, of_main_node[: len(of_job)]):
        if main is not None:
            container = {**main.get("container", {}), **attempt.get("container", {})}
            attempt = {**main, **attempt, "container": container}
        attempts.append(attempt)
    return attempts
