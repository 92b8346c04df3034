"""Planted deviations: behavior that AWS does not have, or that a right setup does not have.

They show that `flowyml-aws doctor --prove` finds what it looks for. Nothing but the emulator reads
them: its clients and jobs see only their effects.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.catalog import InstanceType
from flowyml_aws.planning.catalog_files import load_catalog

__all__ = [
    "DEVIATIONS",
    "PRICE_FACTOR",
    "SMALL_SHARED_MEMORY_MIB",
    "SMALL_VOLUME_GIB",
    "check_deviations",
    "forbid_cache_reads",
    "larger_type",
]

DEVIATIONS: Mapping[str, str] = {
    "larger-type": "jobs run on the largest type of the family that was chosen",
    "price": "all prices are 20 % higher than in the catalog of the package",
    "ml-read-only": "/opt/ml and /tmp of training jobs can't be written",
    "no-cache-read": "the roles of jobs lack s3:GetObject on cache entries",
    "small-shm": "/dev/shm of Batch jobs has 64 MiB, whatever their definition says",
    "small-volume": "the disk of Batch jobs has 1 GiB, whatever the launch template says",
    "no-gpu": "jobs see no GPU",
    "metadata-reachable": "steps reach the instance metadata service",
    "no-retry": "an attempt that ends with exit code 143 is not retried",
    "no-alert": "no event of EventBridge is delivered",
}
"""Description of each deviation, by name."""

PRICE_FACTOR = 1.2
SMALL_SHARED_MEMORY_MIB = 64
SMALL_VOLUME_GIB = 1

_CACHE = "/cache/*"


def check_deviations(names: Collection[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises:
        SettingsError: A name is unknown.
    """
    for name in names:
        if name not in DEVIATIONS:
            raise SettingsError(
                what=f"Unknown deviation {name!r}",
                why=f"the deviations are {', '.join(DEVIATIONS)}",
                fix=did_you_mean(name, DEVIATIONS, "name one of them"),
            )
    return frozenset(names)


def larger_type(name: str) -> str:
    """Return the largest type of an instance type's family, by its name at EC2 or SageMaker."""
    catalog = load_catalog()
    is_training = name.startswith("ml.")
    known = catalog.get(name.removeprefix("ml."))
    if known is None:
        return name

    def name_of(instance: InstanceType) -> str | None:
        return instance.sagemaker_name if is_training else instance.name

    siblings = [t for t in catalog.types if t.family == known.family and name_of(t) is not None]
    return name_of(max(siblings, key=lambda t: (t.vcpus, t.name), default=known)) or name


def forbid_cache_reads(prefix: str) -> None:
    """Take s3:GetObject on cache entries from the roles of jobs.

    Args:
        prefix: Prefix of the names of the account's roles.
    """
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for role in ("job", "sagemaker"):
        name = f"{prefix}-{role}"
        document = json.loads(iam.get_role_policy(name, role)[1])
        for statement in document["Statement"]:
            if statement["Action"] == "s3:GetObject":
                statement["Resource"] = _without_cache(statement["Resource"])
        iam.put_role_policy(name, role, json.dumps(document))


def _without_cache(resources: Any) -> list[str]:
    listed = [resources] if isinstance(resources, str) else resources
    return [resource for resource in listed if not resource.endswith(_CACHE)]
