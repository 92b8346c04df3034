"""Check of SageMaker's quotas: training jobs can start."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from flowyml_aws.aws.quota_requests import quota_request
from flowyml_aws.aws.sagemaker.quotas import TrainingQuota, quota_names
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.findings import Finding

__all__ = ["training_quota_findings"]

_CPUS = "CPUs only"


def _training_price(instance: InstanceType) -> float:
    price = instance.sagemaker_price_usd_hour
    return math.inf if price is None else price


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
    known = {quota.name: quota for quota in quotas}
    most: dict[str, int] = defaultdict(int)  # instances of a type, by kind of machine
    cheapest: dict[str, TrainingQuota] = {}  # quota of the cheapest type, by kind of machine
    for instance in sorted(catalog.types, key=_training_price):
        if instance.sagemaker_name is None:
            continue
        (name,) = quota_names(instance.sagemaker_name, capacity, keeps_instance=False)
        if name in known:
            kind = instance.gpu_model or _CPUS
            most[kind] = max(most[kind], known[name].limit)
            cheapest.setdefault(kind, known[name])
    closed = sorted(kind for kind, limit in most.items() if limit == 0)
    usage = f"training jobs on {capacity} capacity"
    fix = ""
    if closed:
        example = min((cheapest[kind] for kind in closed), key=lambda quota: quota.name)
        request = quota_request("sagemaker", example.code, 1, region)
        fix = f"request those that jobs need; for example {example.name!r}: {request}"
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
