"""What the settings say of jobs on SageMaker: where they can go, their terms, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowyml_aws.aws.sagemaker_defaults import read_organisation_terms
from flowyml_aws.aws.sagemaker_limits import refused_training
from flowyml_aws.aws.sagemaker_requests import training_request
from flowyml_aws.aws.sagemaker_terms import TrainingTerms
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.placement import SAGEMAKER
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.settings import Settings
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.target_settings import as_target

__all__ = [
    "problems_of_settings",
    "problems_of_training",
    "settings_of_driver",
    "training_targets",
    "training_terms",
]


def training_targets(settings: Settings, catalog: Catalog) -> Sequence[Target]:
    """Where training jobs can go: what the configuration describes, else every type there is.

    Where spot capacity is preferred, it comes first, and a job can still require on demand.
    """
    configured = [as_target(t, catalog) for t in settings.targets if t.kind == SAGEMAKER]
    if configured:
        return configured
    (anything,) = offline_targets(catalog, "sagemaker")
    on_demand = replace(anything, name="sagemaker")
    if not settings.sagemaker_spot:
        return [on_demand]
    return [replace(anything, name="sagemaker-spot", capacity="spot"), on_demand]


def training_terms(settings: Settings, region: str) -> TrainingTerms:
    """What the training jobs of a run have in common.

    What the settings leave open, the organisation's defaults say, where the extra `sagemaker`
    is installed.

    Raises:
        SettingsError: The organisation's defaults can't be read.
    """
    longest_s = settings.sagemaker_max_runtime_s
    own = TrainingTerms(
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
        region=region,
    )
    if longest_s is not None:
        own = replace(own, max_runtime_s=longest_s)
    return own.over(read_organisation_terms())


def settings_of_driver(settings: Settings, terms: TrainingTerms) -> Settings:
    """The settings with the organisation's defaults, which a driver's machine does not have."""
    return replace(
        settings,
        sagemaker_role=terms.role,
        sagemaker_subnets=terms.subnets,
        sagemaker_security_groups=terms.security_groups,
        sagemaker_volume_kms_key=terms.volume_kms_key,
        sagemaker_output_kms_key=terms.output_kms_key,
        tags=terms.tags,
    )


def problems_of_settings(terms: TrainingTerms) -> list[FlowymlError]:
    """What is missing for training jobs."""
    return [
        SettingsError(
            what=f"Setting `{name}` is missing",
            why="jobs on SageMaker need it",
            fix=f"set {name} in flowyml-aws.toml or FLOWYML_AWS_{name.upper()}{more}",
        )
        for name, value, more in (
            ("sagemaker_role", terms.role, ", or a role in the SageMaker SDK's config.yaml"),
            ("image", terms.image, " (or sagemaker_image)"),
        )
        if not value
    ]


def problems_of_training(
    plan: ExecutionPlan, record: RunRecord, store: str, terms: TrainingTerms
) -> list[FlowymlError]:
    """Why SageMaker would refuse jobs of a plan.

    Args:
        plan: Jobs of other backends are left out.
        record: Of the run that they would be in.
        store: URI of its store.
        terms: What its training jobs have in common.
    """
    return [
        problem
        for job in plan.jobs
        if job.backend == SAGEMAKER
        for problem in refused_training(training_request(job, 1, record, store, terms), job.name)
    ]
