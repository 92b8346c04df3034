"""Check of SageMaker's quotas: training jobs can start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from flowyml_aws.aws.training_quotas import TrainingQuota, quota_names, quota_page
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.catalog import Catalog

__all__ = ["training_quota_findings"]

_CPUS = "CPUs only"


def training_quota_findings(
    quotas: Iterable[TrainingQuota], catalog: Catalog, capacity: str, region: str
) -> Iterator[Finding]:
    """Yield a finding on the kinds of machines that training jobs can start.

    Args:
        quotas: Quotas of the account.
        catalog: Catalog of instance types.
        capacity: `on-demand` or `spot`.
        region: AWS region of the jobs.
    """
    limits = {quota.name: quota.limit for quota in quotas}
    most: dict[str, int] = defaultdict(int)  # instances of a type, by kind of machine
    for instance in catalog.types:
        if instance.sagemaker_name is None:
            continue
        (name,) = quota_names(instance.sagemaker_name, capacity, keeps_instance=False)
        if name in limits:
            kind = instance.gpu_model or _CPUS
            most[kind] = max(most[kind], limits[name])
    closed = sorted(kind for kind, limit in most.items() if limit == 0)
    usage = f"training jobs on {capacity} capacity"
    fix = f"request instances of the types that jobs need: {quota_page(region)}"
    if not most:
        yield Finding("training-quotas-unknown", "note", f"The quotas of {usage} are unknown")
    elif len(closed) == len(most):
        why = "the quotas of all instance types are 0, the default of many new accounts"
        yield Finding("training-quota-none", "warning", f"SageMaker starts no {usage}", why, fix)
    elif closed:
        what = f"SageMaker starts no {usage} with {', '.join(closed)}"
        why = "the quotas of all of their instance types are 0, the default for most GPUs"
        yield Finding("training-quota-some", "note", what, why, fix)
    else:
        yield Finding("training-quota", "ok", f"There are quotas for {usage} with every GPU")
