"""Checks of queues, compute environments and quotas: submitted jobs can start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from flowyml_aws.aws.batch.queue_findings import (
    environment_fault,
    families_named,
    no_environment,
    no_gpu_image,
    queue_fault,
    quota_too_low,
    types_without_efa,
)
from flowyml_aws.aws.batch.queues import Environment, Queue, no_such_queue
from flowyml_aws.aws.ec2.quotas import Quota, quota_of
from flowyml_aws.aws.quota_requests import quota_request
from flowyml_aws.catalog.families import available_types, expand_families
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding

__all__ = ["environment_findings", "queue_findings", "quota_findings", "quotas_of", "used_queues"]

_MAX_NAMES = 5


def used_queues(queues: Mapping[str, Queue], wanted: Sequence[str]) -> tuple[Queue, ...]:
    """Return the queues that runs use: the wanted ones, or all if none is named.

    Raises:
        SettingsError: None of the wanted queues exists, or the account has no queue.
    """
    used = tuple(queues[name] for name in wanted or sorted(queues) if name in queues)
    if used:
        return used
    if wanted:
        raise no_such_queue(wanted, queues)
    raise SettingsError(
        what="The account has no job queue",
        why="jobs on AWS Batch need a queue with a compute environment on EC2",
        fix="set the account up with infra/, or correct the region",
    )


def queue_findings(queues: Mapping[str, Queue], wanted: Sequence[str]) -> Iterator[Finding]:
    """Yield at least one finding for each wanted queue.

    Args:
        queues: Queues of the account, by name.
        wanted: Names of queues to check; empty for all.
    """
    missing = [name for name in wanted if name not in queues]
    for name in missing:
        error = no_such_queue([name], queues)
        yield Finding("queue-missing", "error", error.what, error.why, error.fix)
    for queue in used_queues(queues, wanted):
        if queue.fault is not None:
            yield queue_fault(queue)
        elif not queue.environments:
            yield no_environment(queue)
        else:
            count = len(queue.environments)
            size = f"{count} compute environment{'s' * (count > 1)}"
            yield Finding("queue", "ok", f"Queue {queue.name!r} accepts jobs: {size}")


def environment_findings(
    queues: Sequence[Queue], offered: Collection[str] | None, catalog: Catalog
) -> Iterator[Finding]:
    """Yield findings on the compute environments of queues: faults, or what they provide."""
    for queue in queues:
        for environment in queue.environments:
            if environment.fault is not None:
                yield environment_fault(queue, environment)
                continue
            yield _types_finding(environment, offered, catalog)
            known = (catalog.get(name) for name in expand_families(environment.types, catalog))
            has_gpus = any(t is not None and t.gpu_count for t in known)
            if has_gpus and (finding := no_gpu_image(environment)) is not None:
                yield finding
            if (finding := families_named(environment)) is not None:
                yield finding
            if (finding := types_without_efa(environment, catalog)) is not None:
                yield finding


def _types_finding(
    environment: Environment, offered: Collection[str] | None, catalog: Catalog
) -> Finding:
    max_vcpus = dict.fromkeys(expand_families(environment.types, catalog), environment.max_vcpus)
    types, unavailable = available_types(max_vcpus, offered, catalog)
    name = f"Compute environment {environment.name!r}"
    if not types and environment.max_vcpus == 0:
        return Finding(
            "max-vcpus-too-low",
            "error",
            f"{name} has a maximum of 0 vCPUs",
            "it starts no instances",
            f"aws batch update-compute-environment --compute-environment {environment.name} "
            "--compute-resources maxvCpus=64",
        )
    if not types:
        reasons = [f"{name}: {why}" for name, why in list(unavailable.items())[:_MAX_NAMES]]
        return Finding(
            "no-type-given",
            "error",
            f"{name} can't provide any of its instance types",
            "; ".join(reasons) or "it names instance families that the catalog does not contain",
            "set instance types that the region offers, and a maxvCpus that is large enough",
        )
    count = f"{len(types)} instance type{'s' * (len(types) > 1)}"
    capacity = "on spot" if environment.capacity == "spot" else "on demand"
    what = f"{name}: {count} {capacity}, up to {environment.max_vcpus} vCPUs"
    if unavailable:
        number = len(unavailable)
        names = ", ".join(list(unavailable)[:_MAX_NAMES]) + (", …" if number > _MAX_NAMES else "")
        first, reason = next(iter(unavailable.items()))
        why = f"{first}: {reason}; unavailable types: {names}"
        return Finding("types-closed", "note", f"{what}; {number} not available", why)
    return Finding("environment", "ok", what)


def quotas_of(queues: Sequence[Queue], catalog: Catalog) -> dict[Quota, list[InstanceType]]:
    """Return the quotas of the queues' instance types, with these types, smallest first."""
    by_quota: dict[Quota, dict[str, InstanceType]] = {}
    for queue in queues:
        for environment in queue.working:
            for name in expand_families(environment.types, catalog):
                known = catalog.get(name)
                if known is None or known.retired_after:
                    continue
                quota = quota_of(known.family, environment.capacity)
                if quota is not None:
                    by_quota.setdefault(quota, {})[name] = known
    return {
        quota: sorted(types.values(), key=lambda t: (t.vcpus, t.name))
        for quota, types in by_quota.items()
    }


def quota_findings(
    wanted: Mapping[Quota, Sequence[InstanceType]], limits: Mapping[str, int], region: str
) -> Iterator[Finding]:
    """Yield a finding for each quota: it allows all, some or none of the instance types.

    Args:
        wanted: Instance types by quota, smallest first.
        limits: vCPUs by quota code.
        region: AWS region of the queues.
    """
    for quota, types in wanted.items():
        limit = limits.get(quota.code)
        if limit is None:
            continue
        smallest, largest = types[0], types[-1]
        if smallest.vcpus > limit:
            yield quota_too_low(quota, limit, smallest.name, smallest.vcpus, region)
        elif largest.vcpus > limit:
            over = [known.name for known in types if known.vcpus > limit]
            yield Finding(
                "quota-below-some",
                "note",
                f"The account's quota {quota.name!r} is {limit} vCPUs",
                f"EC2 does not start {len(over)} larger types of the queues, such as {over[0]}",
                "if jobs need them, request an increase: "
                + quota_request("ec2", quota.code, largest.vcpus, region),
            )
        else:
            yield Finding("quota", "ok", f"Quota {quota.name!r}: {limit} vCPUs")
