"""Options of training jobs from the settings, and checks of them before submission."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flowyml_aws.aws.sagemaker.defaults import read_organization_defaults
from flowyml_aws.aws.sagemaker.limits import training_request_errors
from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.aws.sagemaker.requests import (
    knows_preferences,
    requires_volume,
    training_request,
)
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.services.sagemaker.traits import TRAITS
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

__all__ = ["driver_settings", "missing_options", "request_problems", "training_options"]


def training_options(settings: Settings, client: SageMakerClient) -> TrainingOptions:
    """Return the options that the training jobs of a run share.

    Options that the settings leave open come from the organization's defaults, if the extra
    `sagemaker` is installed.

    Args:
        settings: Settings of the project.
        client: Client that creates the jobs.

    Raises:
        SettingsError: The organization's defaults can't be read.
    """
    max_runtime_s = settings.sagemaker_max_runtime_s
    options = TrainingOptions(
        image=settings.sagemaker_image or settings.image or "",
        role=settings.sagemaker_role or "",
        subnets=settings.sagemaker_subnets,
        security_groups=settings.sagemaker_security_groups,
        volume_kms_key=settings.sagemaker_volume_kms_key,
        output_kms_key=settings.sagemaker_output_kms_key,
        volume_gib=settings.sagemaker_volume_gib or 0,
        keep_alive_s=settings.sagemaker_keep_alive_s or 0,
        max_wait_s=settings.sagemaker_max_wait_s,
        tags=settings.tags,
        region=client.meta.region_name,
        has_preferences=knows_preferences(client),
        needs_volume=requires_volume(client),
    )
    if max_runtime_s is not None:
        options = replace(options, max_runtime_s=max_runtime_s)
    return options.with_defaults(read_organization_defaults())


def driver_settings(settings: Settings, options: TrainingOptions) -> Settings:
    """Return the settings with the organization's defaults, which a driver cannot read."""
    return replace(
        settings,
        sagemaker_role=options.role,
        sagemaker_subnets=options.subnets,
        sagemaker_security_groups=options.security_groups,
        sagemaker_volume_kms_key=options.volume_kms_key,
        sagemaker_output_kms_key=options.output_kms_key,
        tags=options.tags,
    )


def missing_options(options: TrainingOptions) -> list[FlowymlError]:
    """Return an error for each setting that training jobs require and that is missing."""
    return [
        SettingsError(
            what=f"Setting `{name}` is missing",
            why="jobs on SageMaker need it",
            fix=f"set {name} in flowyml-aws.toml or FLOWYML_AWS_{name.upper()}{alternative}",
        )
        for name, value, alternative in (
            ("sagemaker_role", options.role, ", or a role in the SageMaker SDK's config.yaml"),
            ("image", options.image, " (or sagemaker_image)"),
        )
        if not value
    ]


def request_problems(
    plan: ExecutionPlan, record: RunRecord, store: str, options: TrainingOptions
) -> list[FlowymlError]:
    """Return what SageMaker would reject in the requests for a plan's training jobs.

    Args:
        plan: Plan; jobs of other services are ignored.
        record: Record of the run.
        store: URI of its store.
        options: Options that all training jobs share.
    """
    return [
        problem
        for job in plan.jobs
        if job.backend == TRAITS.name
        for problem in training_request_errors(
            training_request(job, 1, record, store, options), job.name
        )
    ]
