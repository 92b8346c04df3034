"""What the training jobs of a run have in common, from settings and the organisation's defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["TrainingTerms", "organisation_terms"]


@dataclass(frozen=True, slots=True)
class TrainingTerms:
    """What the training jobs of a run have in common.

    Attributes:
        image: URI of the container image.
        role: ARN of the role that the jobs have.
        subnets, security_groups: Of a VPC; both empty for none.
        volume_kms_key, output_kms_key: Ids or ARNs; None for the keys of AWS.
        volume_gib: Least size of a volume.
        keep_alive_s: How long an instance waits for the next job; 0 for not at all.
        max_runtime_s: Limit for a job whose steps have none.
        max_wait_s: Limit for a job on spot capacity, waiting included; None for a day more than
            it may run.
        tags: Beside those that name the run.
        region: Where the jobs run, and their clients.
    """

    image: str = ""
    role: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    volume_kms_key: str | None = None
    output_kms_key: str | None = None
    volume_gib: int = 0
    keep_alive_s: int = 0
    # The service's default quota for the longest training job.
    max_runtime_s: int = 5 * 24 * 3600
    max_wait_s: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    region: str = ""

    def over(self, below: TrainingTerms) -> TrainingTerms:
        """These, and where they say nothing of role, network, keys or tags, what `below` says."""
        is_in_vpc = bool(self.subnets or self.security_groups)
        return replace(
            self,
            role=self.role or below.role,
            # Subnets of one VPC with security groups of another are refused.
            subnets=self.subnets if is_in_vpc else below.subnets,
            security_groups=self.security_groups if is_in_vpc else below.security_groups,
            volume_kms_key=self.volume_kms_key or below.volume_kms_key,
            output_kms_key=self.output_kms_key or below.output_kms_key,
            tags={**below.tags, **self.tags},
        )


def organisation_terms(config: Mapping[str, Any]) -> TrainingTerms:
    """What an organisation's `config.yaml` of the SageMaker SDK says of training jobs.

    Both of its forms are read: `SageMaker.TrainingJob` as in
    https://sagemaker.readthedocs.io/en/stable/overview.html#configuring-and-using-defaults-with-the-sagemaker-python-sdk
    and over it `SageMaker.PythonSDK.Resources`, where `TrainingJob` comes before `GlobalDefaults`.
    """
    sagemaker = _table(config, "SageMaker")
    resources = _table(sagemaker, "PythonSDK", "Resources")
    forms = (
        _terms(_table(resources, "TrainingJob"), _SNAKE),
        _terms(_table(resources, "GlobalDefaults"), _SNAKE),
        _terms(_table(sagemaker, "TrainingJob"), _PASCAL),
    )
    first, *others = forms
    for below in others:
        first = first.over(below)
    return first


_PASCAL = {
    "role": ("RoleArn",),
    "subnets": ("VpcConfig", "Subnets"),
    "security_groups": ("VpcConfig", "SecurityGroupIds"),
    "volume_kms_key": ("ResourceConfig", "VolumeKmsKeyId"),
    "output_kms_key": ("OutputDataConfig", "KmsKeyId"),
    "tags": ("Tags",),
}
_SNAKE = {
    "role": ("role_arn",),
    "subnets": ("vpc_config", "subnets"),
    "security_groups": ("vpc_config", "security_group_ids"),
    "volume_kms_key": ("resource_config", "volume_kms_key_id"),
    "output_kms_key": ("output_data_config", "kms_key_id"),
    "tags": ("tags",),
}


def _terms(table: Mapping[str, Any], paths: Mapping[str, Sequence[str]]) -> TrainingTerms:
    def told(name: str) -> Any:
        *tables, key = paths[name]
        return _table(table, *tables).get(key)

    return TrainingTerms(
        role=told("role") or "",
        subnets=tuple(told("subnets") or ()),
        security_groups=tuple(told("security_groups") or ()),
        volume_kms_key=told("volume_kms_key"),
        output_kms_key=told("output_kms_key"),
        tags={tag["Key"]: tag.get("Value", "") for tag in told("tags") or ()},
    )


def _table(table: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        table = table.get(name) or {}
    return table
