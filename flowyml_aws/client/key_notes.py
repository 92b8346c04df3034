"""Notes of a plan on cache keys: steps that always run, and versions of packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowyml_aws.caching.lookup import Identities
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import service_traits

__all__ = ["key_notes"]


def key_notes(plan: ExecutionPlan, identities: Identities, pins: str) -> Iterator[str]:
    """Yield a note for each step with an incomplete key, and each package with two versions.

    Args:
        plan: Plan of the run.
        identities: Identities of the steps.
        pins: Name of the source of the versions that the project requires.
    """
    for step, values in identities.incomplete.items():
        others = f" and {len(values) - 1} more" if len(values) > 1 else ""
        yield (
            f"step {step!r} is executed in every run: {values[0]}{others} can't be compared with "
            "earlier runs"
        )
    backends = {step: job.backend for job in plan.jobs for step in job.steps}
    yield from dict.fromkeys(_versions(backends, identities, pins))


def _versions(backends: Mapping[str, str], identities: Identities, pins: str) -> Iterator[str]:
    for step, differences in identities.differences.items():
        for package in differences if step in backends else ():
            if service_traits(backends[step]).needs_bundle:
                yield (
                    f"jobs on {backends[step]} use {package.name} {package.pinned} ({pins}); this "
                    f"machine has {package.installed}"
                )
            else:
                yield (
                    f"jobs on this machine use {package.name} {package.installed}; the project "
                    f"requires {package.pinned} ({pins})"
                )
