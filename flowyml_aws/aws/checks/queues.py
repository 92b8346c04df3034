"""Queues, compute environments and quotas: whether jobs that are submitted can start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from flowyml_aws.aws.queue_findings import (
    QUOTA_PAGE,
    environment_fault,
    no_environment,
    no_gpu_image,
    queue_fault,
    quota_too_low,
)
from flowyml_aws.aws.queues import Environment, Queue, no_such_queue
from flowyml_aws.aws.quotas import Quota, quota_of
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.families import expanded, given

__all__ = ["environment_findings", "queue_findings", "quota_findings", "quotas_of", "used_queues"]

_NAMED = 5


def used_queues(found: Mapping[str, Queue], wanted: Sequence[str]) -> tuple[Queue, ...]:
    """The queues that runs use: those that are wanted, else all.

    Raises:
        SettingsError: None of them exists.
    """
    used = tuple(found[name] for name in wanted or sorted(found) if name in found)
    if used:
        return used
    if wanted:
        raise no_such_queue(wanted, found)
    raise SettingsError(
        what="The account has no job queue",
        why="jobs on AWS Batch go to a queue with a compute environment on EC2",
        fix="set the account up with infra/, or correct the region",
    )


def queue_findings(found: Mapping[str, Queue], wanted: Sequence[str]) -> Iterator[Finding]:
    """What is wrong with queues, or that nothing is.

    Args:
        found: Those of the account.
        wanted: Names; empty for all.
    """
    missing = [name for name in wanted if name not in found]
    for name in missing:
        error = no_such_queue([name], found)
        yield Finding("queue-missing", "error", error.what, error.why, error.fix)
    for queue in used_queues(found, wanted):
        if queue.fault is not None:
            yield queue_fault(queue)
        elif not queue.environments:
            yield no_environment(queue)
        else:
            count = len(queue.environments)
            told = f"{count} compute environment{'s' * (count > 1)}"
            yield Finding("queue", "ok", f"Queue {queue.name!r} takes jobs: {told}")


def environment_findings(
    queues: Sequence[Queue], offered: Collection[str] | None, catalog: Catalog
) -> Iterator[Finding]:
    """What is wrong with the compute environments of queues, or what they give."""
    for queue in queues:
        for one in queue.environments:
            if one.fault is not None:
                yield environment_fault(queue, one)
                continue
            yield _given(one, offered, catalog)
            known = (catalog.get(name) for name in expanded(one.types, catalog))
            has_gpus = any(t is not None and t.gpu_count for t in known)
            if has_gpus and (finding := no_gpu_image(one)) is not None:
                yield finding


def _given(one: Environment, offered: Collection[str] | None, catalog: Catalog) -> Finding:
    named = dict.fromkeys(expanded(one.types, catalog), one.max_vcpus)
    types, closed = given(named, offered, catalog)
    name = f"Compute environment {one.name!r}"
    if not types and one.max_vcpus == 0:
        return Finding(
            "max-vcpus-too-low",
            "error",
            f"{name} may have 0 vCPUs",
            "it starts no instances",
            f"aws batch update-compute-environment --compute-environment {one.name} "
            "--compute-resources maxvCpus=64",
        )
    if not types:
        told = "; ".join(f"{name}: {why}" for name, why in list(closed.items())[:_NAMED])
        return Finding(
            "no-type-given",
            "error",
            f"{name} can give none of its instance types",
            told or "it names families that nobody knows",
            "give it types that the region offers, and room for them (maxvCpus)",
        )
    count = f"{len(types)} instance type{'s' * (len(types) > 1)}"
    capacity = "on spot" if one.capacity == "spot" else "on demand"
    told = f"{name}: {count} {capacity}, up to {one.max_vcpus} vCPUs"
    if closed:
        names = ", ".join(list(closed)[:_NAMED]) + (", …" if len(closed) > _NAMED else "")
        why = f"{next(iter(closed.values()))}; of {len(closed)}: {names}"
        return Finding("types-closed", "note", f"{told}; {len(closed)} can't be had", why)
    return Finding("environment", "ok", told)


def quotas_of(queues: Sequence[Queue], catalog: Catalog) -> dict[Quota, list[InstanceType]]:
    """The quotas that the queues' instances count towards, with those types, smallest first."""
    found: dict[Quota, dict[str, InstanceType]] = {}
    for queue in queues:
        for one in queue.working:
            for name in expanded(one.types, catalog):
                known = catalog.get(name)
                if known is None or known.retired_after:
                    continue
                quota = quota_of(known.family, one.capacity)
                if quota is not None:
                    found.setdefault(quota, {})[name] = known
    return {
        quota: sorted(types.values(), key=lambda t: (t.vcpus, t.name))
        for quota, types in found.items()
    }


def quota_findings(
    wanted: Mapping[Quota, Sequence[InstanceType]], limits: Mapping[str, int]
) -> Iterator[Finding]:
    """Quotas that admit no instance, or not every one.

    Args:
        wanted: Types by quota, smallest first.
        limits: vCPUs, by code.
    """
    for quota, types in wanted.items():
        limit = limits.get(quota.code)
        if limit is None:
            continue
        least, most = types[0], types[-1]
        if least.vcpus > limit:
            yield quota_too_low(quota, limit, least.name, least.vcpus)
        elif most.vcpus > limit:
            over = [one.name for one in types if one.vcpus > limit]
            yield Finding(
                "quota-below-some",
                "note",
                f"The account's quota {quota.name!r} is {limit} vCPUs",
                f"{len(over)} types of the queues have more, such as {over[0]}: EC2 starts none",
                f"where jobs need them, ask AWS for more: {QUOTA_PAGE}/{quota.code}",
            )
        else:
            yield Finding("quota", "ok", f"Quota {quota.name!r}: {limit} vCPUs")
