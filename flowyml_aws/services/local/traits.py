"""Traits of this machine as a service."""

from __future__ import annotations

from flowyml_aws.planning.services import ServiceTraits

__all__ = ["TRAITS"]

# So that a pipeline for AWS can be tried here: as its secrets, which variables replace.
_ON_AWS_ONLY = (
    *("image", "queue", "priority", "role", "shared_memory", "ulimits", "mounts"),
    "job_definition",
)

TRAITS = ServiceTraits(
    name="local",
    title="this machine",
    host="machine",
    startup_s=1,  # only a process starts
    hosted=None,
    needs_bundle=False,
    inherits_environment=True,
    outlives_client=False,
    most_jobs_of_a_map=8,  # more processes than CPUs gain nothing, and each imports the program
    unused_options=_ON_AWS_ONLY,
    on_departure="its local jobs were stopped",
)
