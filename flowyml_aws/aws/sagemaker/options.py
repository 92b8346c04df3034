"""Options of training jobs, from settings and the organization's defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["TrainingOptions", "organization_defaults"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Options that the training jobs of a run have in common.

    Attributes:
        image: URI of the container image.
        role: ARN of the jobs' role.
        subnets, security_groups: Ids in a VPC; both empty for no VPC.
        volume_kms_key, output_kms_key: Ids or ARNs of KMS keys; None for AWS managed keys.
        volume_gib: Minimum size of a volume.
        keep_alive_s: Time that an instance is kept for the next job; 0 for not at all.
        max_runtime_s: Maximum runtime of a job whose steps have no timeouts.
        max_wait_s: Maximum of a job's runtime and wait for spot capacity together; None for its
            maximum runtime and a day.
        tags: Extra tags, in addition to the run tags.
        region: Region of the jobs, and of the clients that they create.
        has_preferences: Whether the client can request several instance types for a job.
        needs_volume: Whether the client requires a volume size, also for types with local disks.
        debug_shell: Whether shells can be opened in the jobs.
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
    has_preferences: bool = True
    needs_volume: bool = False
    debug_shell: bool = False

    def with_defaults(self, defaults: TrainingOptions) -> TrainingOptions:
        """Fill a missing role, network, keys and tags from `defaults`."""
        is_in_vpc = bool(self.subnets or self.security_groups)
        return replace(
            self,
            role=self.role or defaults.role,
            # AWS refuses subnets of one VPC with security groups of another.
            subnets=self.subnets if is_in_vpc else defaults.subnets,
            security_groups=self.security_groups if is_in_vpc else defaults.security_groups,
            volume_kms_key=self.volume_kms_key or defaults.volume_kms_key,
            output_kms_key=self.output_kms_key or defaults.output_kms_key,
            tags={**defaults.tags, **self.tags},
        )


def organization_defaults(config: Mapping[str, Any]) -> TrainingOptions:
    """Return the options for training jobs in a `config.yaml` of the SageMaker SDK.

    Both forms are read. `SageMaker.PythonSDK.Resources` takes precedence, with `TrainingJob`
    before `GlobalDefaults`; then `SageMaker.TrainingJob`, as in
    https://sagemaker.readthedocs.io/en/stable/overview.html#configuring-and-using-defaults-with-the-sagemaker-python-sdk
    """
    sagemaker = _section(config, "SageMaker")
    resources = _section(sagemaker, "PythonSDK", "Resources")
    forms = (
        _options(_section(resources, "TrainingJob"), _SNAKE),
        _options(_section(resources, "GlobalDefaults"), _SNAKE),
        _options(_section(sagemaker, "TrainingJob"), _PASCAL),
    )
    options, *others = forms
    for defaults in others:
        options = options.with_defaults(defaults)
    return options


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


def _options(config: Mapping[str, Any], paths: Mapping[str, Sequence[str]]) -> TrainingOptions:
    def value(name: str) -> Any:
        *path, key = paths[name]
        return _section(config, *path).get(key)

    return TrainingOptions(
        role=value("role") or "",
        subnets=tuple(value("subnets") or ()),
        security_groups=tuple(value("security_groups") or ()),
        volume_kms_key=value("volume_kms_key"),
        output_kms_key=value("output_kms_key"),
        tags={tag["Key"]: tag.get("Value", "") for tag in value("tags") or ()},
    )


def _section(config: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        config = config.get(name) or {}
    return config
