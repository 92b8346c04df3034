"""Checks of the job definitions that steps name, which are used as they are.

A submission overrides the command, the environment, vCPUs, memory and GPUs of a container, the
number of nodes, retries and the time limit. All other properties are those of the definition.

Sources: SubmitJob, ContainerOverrides and NodePropertyOverride in the API reference of AWS Batch;
"Can't override job definition resource requirements" in its user guide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch.nodes import ALL_NODES
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.planning.plan import PlannedJob

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = ["definition_problems"]

_FOLDER = "job-definition/"


def definition_problems(batch: BatchClient, jobs: Sequence[PlannedJob]) -> list[FlowymlError]:
    """Return an error for each job definition that can't run the jobs that name it.

    Args:
        batch: Batch client.
        jobs: Jobs of AWS Batch.
    """
    by_name: dict[str, list[PlannedJob]] = {}
    for job in jobs:
        if job.options.job_definition is not None:
            by_name.setdefault(job.options.job_definition, []).append(job)
    problems: list[FlowymlError] = []
    for name, users in by_name.items():
        try:
            definition = _active(batch, name)
        except (ClientError, BotoCoreError) as error:
            problems.append(refused(error, f"describe job definition {name!r}"))
            continue
        if definition is None:
            problems.append(_not_active(name))
            continue
        faults = {fault for job in users for fault in _faults(definition, job)}
        problems += [
            SettingsError(f"Job definition {name!r} can't run job {users[0].name!r}", why, fix)
            for why, fix in sorted(faults)
        ]
    return problems


def _active(batch: BatchClient, name: str) -> Mapping[str, Any] | None:
    """Return the active revision of a name or an ARN; None if there is none."""
    own_name, _, revision = name.rpartition(_FOLDER)[2].partition(":")
    pages = batch.get_paginator("describe_job_definitions").paginate(
        jobDefinitionName=own_name, status="ACTIVE"
    )
    active = {each["revision"]: each for page in pages for each in page["jobDefinitions"]}
    return active.get(int(revision) if revision else max(active, default=0))


def _not_active(name: str) -> SettingsError:
    return SettingsError(
        what=f"No active job definition {name!r}",
        why="it does not exist in this region, or all of its revisions are deregistered",
        fix="correct job_definition=, or register it (a name without revision is the latest one)",
    )


def _faults(definition: Mapping[str, Any], job: PlannedJob) -> Iterator[tuple[str, str]]:
    has_nodes = job.needs.nodes > 1
    kind = "multinode" if has_nodes else "container"
    if definition["type"] != kind:
        yield (
            f"it is of type {definition['type']}, and the job has "
            f"{'several nodes' if has_nodes else 'one machine'}",
            f"name a job definition of type {kind}",
        )
        return
    if "FARGATE" in definition.get("platformCapabilities", ()):
        yield "it is for Fargate, and jobs run on EC2", "name a job definition for EC2"
    container = _container(definition, has_nodes)
    if container is None:
        yield (
            "its containers are not in containerProperties, or its nodes are not one range "
            f"{ALL_NODES!r}, so that no override reaches all of them",
            "name a job definition with containerProperties, or with nodeProperties of one range",
        )
        return
    secrets = {secret["name"] for secret in container.get("secrets", ())}
    if missing := sorted(job.secrets.keys() - secrets):
        yield (
            f"it has no secrets {', '.join(missing)}, and a submission can't add them",
            "add them to the job definition, or omit secrets=",
        )
    if job.efa_interfaces and not container.get("linuxParameters", {}).get("devices"):
        yield (
            "it has no devices of Elastic Fabric Adapters, which the nodes of this queue have",
            "add /dev/infiniband/uverbs0 to its devices, or omit job_definition=",
        )


def _container(definition: Mapping[str, Any], has_nodes: bool) -> Mapping[str, Any] | None:
    """Return the properties of the container that the overrides of a submission change."""
    if not has_nodes:
        return definition.get("containerProperties")
    ranges = definition.get("nodeProperties", {}).get("nodeRangeProperties", ())
    if len(ranges) != 1 or ranges[0]["targetNodes"] != ALL_NODES:
        return None
    container: Mapping[str, Any] | None = ranges[0].get("container")
    return container
