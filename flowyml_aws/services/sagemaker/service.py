"""SageMaker as a service: one training job per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.longest_path import longest_path_s
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.account import Account, missing_setting
from flowyml_aws.services.drivers import (
    DriverJob,
    end_run_driver,
    run_driver_problems,
    start_run_driver,
)
from flowyml_aws.services.sagemaker.targets import training_targets, without_types
from flowyml_aws.services.sagemaker.traits import TRAITS
from flowyml_aws.services.service import Service
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from flowyml_aws.aws.sagemaker.options import TrainingOptions
    from flowyml_aws.aws.sagemaker.quotas import TypesWithoutQuota

__all__ = ["SERVICE", "SageMakerService"]

_ONE_TYPE = (
    "training jobs run on the first instance type of the plan only, because this version of boto3 "
    "can't request several: upgrade to boto3>=1.43.90 for other types if the first has no capacity"
)


@dataclass(frozen=True)
class SageMakerService(Service):
    """Training jobs in an account's region."""

    _account: Account

    @staticmethod
    def host(settings: Settings, project: Path | None) -> Account:
        return Account(settings, project, settings.sagemaker_image or settings.image)

    @staticmethod
    def is_set_up(settings: Settings, project: Path) -> bool:
        return settings.store is not None

    @staticmethod
    def offline_targets(settings: Settings, catalog: Catalog) -> Sequence[Target]:
        return training_targets(settings, catalog)

    def targets(self) -> Sequence[Target]:
        if self._account.access_problem is not None:
            raise self._account.access_problem
        catalog = self._account.catalog
        return [
            replace(
                without_types(target, self._quotas.closed[target.capacity], catalog),
                node_limits=dict(self._quotas.node_limits[target.capacity]),
            )
            for target in training_targets(self._account.settings, catalog)
        ]

    def closes_types(self, plan: ExecutionPlan) -> bool:
        """Look up the quotas of a plan's instance types. 0 is the default for most GPUs."""
        if self._account.access_problem is not None:
            return False
        jobs = [job for job in plan.jobs if job.backend == TRAITS.name]
        types = [t.sagemaker_name for t in self._account.catalog.types if t.sagemaker_name]
        return self._quotas.close(jobs, types)

    def notes(self) -> Sequence[str]:
        notes = list(self._quotas.notes)
        if not self._options.has_preferences:
            notes.append(_ONE_TYPE)
        return notes

    def problems(self) -> list[FlowymlError]:
        from flowyml_aws.services.sagemaker.training import missing_options

        if self._account.access_problem is not None:
            return []  # the defaults of the organization may be in S3
        try:
            problems = list(missing_options(self._options))
            manifest = self._account.images.manifest_problem
        except FlowymlError as error:
            return [error]
        return [*problems, manifest] if manifest is not None else problems

    def plan_problems(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        """Return what SageMaker would reject in the request of each job."""
        from flowyml_aws.services.sagemaker.training import missing_options, request_problems

        account = self._account
        if account.settings.store is None:
            return []
        try:
            options = self._options
        except FlowymlError:
            return []  # reported by `problems`
        if missing_options(options):
            return []  # reported once, not for each job
        jobs = [job for job in plan.jobs if job.backend == TRAITS.name]
        references = {reference for job in jobs for reference in job.secrets.values()}
        problems = request_problems(plan, record, account.store.uri, options)
        return [*problems, *account.secret_problems(references)]

    @property
    def needs_driver(self) -> bool:
        return True  # SageMaker cannot chain jobs

    def driver_problems(self, plan: ExecutionPlan | None) -> list[FlowymlError]:
        try:
            problems = [] if self._account.image else [missing_setting("image")]
        except FlowymlError as error:
            return [error]
        return [*problems, *run_driver_problems(self._account)]

    def driver_notes(self, plan: ExecutionPlan) -> Sequence[str]:
        days = self._driver_timeout_s(plan) / (24 * 3600)
        return [
            f"the driver of the run ends after {days:.1f} days at the latest; jobs that it has "
            "submitted continue, and `attach` continues the run"
        ]

    def start_driver(self, record: RunRecord, plan: ExecutionPlan) -> bool:
        """Submit a small Batch job that drives the run."""
        start_run_driver(self.driver_job(plan), record, plan)
        return True

    def driver_job(self, plan: ExecutionPlan) -> DriverJob:
        """Return the small Batch job that drives a run of a plan."""
        from flowyml_aws.services.batch.service import driver_price_usd_hour, job_image
        from flowyml_aws.services.sagemaker.training import driver_settings

        account = self._account
        return DriverJob(
            account,
            job_image(account),
            driver_settings(account.images.effective_settings, self._options),
            self._options.tags,
            self._driver_timeout_s(plan),
            driver_price_usd_hour(account),
        )

    def _driver_timeout_s(self, plan: ExecutionPlan) -> int:
        from flowyml_aws.aws.batch.driver_job import driver_timeout_s
        from flowyml_aws.aws.sagemaker.requests import time_limit_s

        limits_s = {
            job.name: time_limit_s(job, self._options)
            if job.backend == TRAITS.name
            else job.timeout_s
            for job in plan.jobs
        }
        return driver_timeout_s(longest_path_s(plan, limits_s))

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.sagemaker.backend import SageMakerBackend

        account = self._account
        return SageMakerBackend(
            sagemaker=account.client("sagemaker"),
            logs=account.client("logs"),
            store=account.store,
            record=record,
            plan=plan,
            options=replace(self._options, debug_shell=plan.debug_shell),
            poll_s=account.settings.poll_s,
            end_driver=partial(end_run_driver, account, record.run_id),
            ssm=partial(account.client, "ssm"),
        )

    @cached_property
    def _quotas(self) -> TypesWithoutQuota:
        from flowyml_aws.aws.sagemaker.quotas import TypesWithoutQuota

        account = self._account
        return TypesWithoutQuota(
            lambda: account.client("service-quotas"),
            account.region or "",
            bool(account.settings.sagemaker_keep_alive_s),
        )

    @cached_property
    def _options(self) -> TrainingOptions:
        """Options that all training jobs of a run share.

        Raises:
            SettingsError: The organization's defaults can't be read.
        """
        from flowyml_aws.services.sagemaker.training import training_options

        client = self._account.client("sagemaker")
        return training_options(self._account.images.effective_settings, client)


SERVICE = SageMakerService
