"""Traits of this machine as a service."""

from __future__ import annotations

from flowyml_aws.planning.services import ServiceTraits

__all__ = ["TRAITS"]

# Not refused, so that a pipeline for AWS can be tried here. Folders replace its mounts.
_UNUSED = ("image", "queue", "priority", "role", "shared_memory", "ulimits", "job_definition")

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
    unused_options=_UNUSED,
    on_departure="its local jobs were stopped",
)
