"""Registry of the services that jobs can run on, and the traits that planning depends on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from flowyml_aws.catalog.types import InstanceType

__all__ = [
    "SERVICES",
    "HostedInstance",
    "ServiceTraits",
    "service_traits",
    "services_with_instances",
]

SERVICES: dict[str, str] = {
    "local": "flowyml_aws.services.local",
    "batch": "flowyml_aws.services.batch",
    "sagemaker": "flowyml_aws.services.sagemaker",
}
"""Package of each service, by the value of `backend=` that selects it."""


@dataclass(frozen=True, slots=True)
class HostedInstance:
    """An instance type as a service offers it.

    Attributes:
        name: Name of the type at the service.
        memory_mib: Memory that one job can use.
        storage_gib: Storage that one job can use.
        price_usd_hour: On-demand price, or None if unknown.
        spot_usd_hour: Spot price, or None if unknown.
        is_estimated: Whether the on-demand price is calculated instead of published.
    """

    name: str
    memory_mib: int
    storage_gib: int
    price_usd_hour: float | None
    spot_usd_hour: float | None = None
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class ServiceTraits:
    """Facts about a service that planning and the command line depend on.

    Attributes:
        name: Value of `backend=` that selects the service.
        title: Name in messages.
        host: Environment whose store its jobs share: `machine` or `account`. Only services with
            the same host can be mixed in one run.
        startup_s: Assumed seconds from the submission of a ready job to its first step.
        hosted: Returns an instance type as the service offers it, or None if it does not. None
            if the service has no instance types, and its jobs cost nothing.
        placed_by: `queue` if the service may start a job on any type of its target that is large
            enough, `plan` if it uses the planned type.
        runs_on_queues: Whether its targets are queues of the account, which infra/ creates.
        keep_alive_setting: Setting that keeps instances for the next job of their type; None if the
            service can't keep them.
        has_job_volumes: Whether a job asks for a volume of its own.
        needs_bundle: Whether jobs need a copy of the project's files.
        inherits_environment: Whether jobs get the environment variables of the client.
        outlives_client: Whether submitted jobs continue after their client has left.
        most_jobs_of_a_map: Number of jobs for a map while the durations of its items are unknown.
        runs_nodes_on_spot: Whether a job of several nodes can use spot capacity.
        array_size: Largest number of jobs that one submission starts; 1 if the service has no
            arrays of jobs.
        starts_after_parents: Whether it starts submitted jobs after their parents by itself.
        mounts_prefixes: Whether a job can read a prefix of S3 as a folder without downloading it.
        refused_options: Reason for each option of `JobOptions` that it lacks, by the argument of
            `step`.
        unused_options: Options that it ignores, with a note.
        on_departure: State of the jobs after their client has left, as a clause.
    """

    name: str
    title: str
    host: str
    startup_s: int
    hosted: Callable[[InstanceType], HostedInstance | None] | None
    placed_by: Literal["queue", "plan"] = "plan"
    runs_on_queues: bool = False
    keep_alive_setting: str | None = None
    has_job_volumes: bool = False
    needs_bundle: bool = True
    inherits_environment: bool = False
    outlives_client: bool = True
    most_jobs_of_a_map: int = 100
    runs_nodes_on_spot: bool = False
    array_size: int = 1
    starts_after_parents: bool = False
    mounts_prefixes: bool = False
    refused_options: Mapping[str, str] = field(default_factory=dict)
    unused_options: tuple[str, ...] = ()
    on_departure: str = "submitted jobs continue"


def services_with_instances() -> tuple[str, ...]:
    """Return the names of the services whose jobs run on instance types."""
    return tuple(name for name in SERVICES if service_traits(name).hosted is not None)


def service_traits(name: str) -> ServiceTraits:
    """Return the traits of a registered service."""
    return _traits_of(SERVICES[name])


@cache  # a plan asks for each instance type
def _traits_of(package: str) -> ServiceTraits:
    traits: ServiceTraits = importlib.import_module(f"{package}.traits").TRAITS
    return traits
