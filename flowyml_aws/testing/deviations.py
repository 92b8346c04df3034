"""Planted deviations: behavior that AWS does not have, or that a right setup does not have.

They show that `flowyml-aws doctor --prove` finds what it looks for. Nothing but the emulator reads
them: its clients and jobs see only their effects.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean

__all__ = ["DEVIATIONS", "Deviations", "forbid_cache_reads"]

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

_PRICE_FACTOR = 1.2
_SHARED_MEMORY_MIB = 64
_VOLUME_GIB = 1
_INTERRUPTED = 128 + 15  # exit code after SIGTERM
_CACHE = "/cache/*"


@dataclass(frozen=True, slots=True)
class Deviations:
    """Planted deviations. A method returns its argument unless one of them changes it.

    Attributes:
        names: Names of the deviations.
    """

    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Collection[str]) -> Deviations:
        """Return the deviations with some names.

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
        return cls(frozenset(names))

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def describe(self) -> list[str]:
        """Return the name and the effect of each deviation."""
        return [f"{name} ({effect})" for name, effect in DEVIATIONS.items() if name in self]

    @property
    def price_factor(self) -> float:
        """Prices as a multiple of those in the catalog."""
        return _PRICE_FACTOR if "price" in self else 1.0

    def instance_type(self, chosen: str) -> str:
        """Return the type on which jobs run, by its name at EC2 or SageMaker."""
        return _largest_of_family(chosen) if "larger-type" in self else chosen

    def shared_memory_mib(self, size_mib: int | None) -> int | None:
        """Return the size of /dev/shm in a Batch job."""
        return _SHARED_MEMORY_MIB if "small-shm" in self else size_mib

    def disk_gib(self, size_gib: int) -> int:
        """Return the size of the disk of Batch jobs on an instance."""
        return _VOLUME_GIB if "small-volume" in self else size_gib

    def gpus(self, count: int) -> int:
        """Return the number of GPUs that a job sees."""
        return 0 if "no-gpu" in self else count

    def retries(self, is_retried: bool, exit_code: int | None) -> bool:
        """Return whether an attempt is followed by another one."""
        return is_retried and not ("no-retry" in self and exit_code == _INTERRUPTED)


def _largest_of_family(name: str) -> str:
    """Return the largest type of an instance type's family, at the same service."""
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
