"""The instance types that a service may start for a job instead of the planned one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.targets import Candidate, Target, TypePool, candidates_on

__all__ = ["is_large_enough", "startable_types"]


def startable_types(needs: Needs, best: Candidate, catalog: Catalog) -> tuple[Candidate, ...]:
    """Return every type that the service may start for a job, cheapest first, unknown price last.

    AWS Batch knows only vCPUs, memory and the number of GPUs of a job. It chooses among all types
    of a compute environment that are large enough, and uses each environment of the queue.

    Args:
        needs: Requirements of the job.
        best: Type that the plan selected.
        catalog: Catalog of instance types.
    """
    if best.target.placed_by == "plan":
        return (best,)
    pools = best.target.pools or (TypePool(best.target.instance_types),)
    found = {c.name: c for pool in pools for c in _startable(needs, best.target, pool, catalog)}
    return tuple(sorted({**found, best.name: best}.values(), key=lambda c: c.rank))


def _startable(
    needs: Needs, target: Target, pool: TypePool, catalog: Catalog
) -> Iterator[Candidate]:
    limit = math.inf if pool.max_vcpus is None else pool.max_vcpus
    if needs.vcpus * needs.nodes > limit:
        return
    types = candidates_on(replace(target, instance_types=pool.types, pools=()), catalog)
    for candidate in types:  # cheapest first
        if not is_large_enough(needs, candidate):
            continue
        if not pool.starts_cheapest:
            yield candidate
        elif candidate.gives.vcpus * needs.nodes <= limit:
            yield candidate
            return


def is_large_enough(needs: Needs, candidate: Candidate) -> bool:
    """Return whether a type is large enough for a job in the eyes of AWS Batch.

    Batch compares vCPUs, memory and the number of GPUs, but neither their model nor disks.
    """
    wanted, gives = needs.amounts, candidate.gives
    return (
        wanted.vcpus <= gives.vcpus
        and wanted.memory_mib <= gives.memory_mib
        and wanted.gpu_count <= gives.gpu_count
    )
