"""AWS Batch as a service: one job per group, on the account's job queues."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.services.account import Account, missing_setting
from flowyml_aws.services.batch.traits import TRAITS
from flowyml_aws.services.service import Service
from flowyml_aws.settings import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.target_settings import TargetSettings, as_target, settings_of_service

if TYPE_CHECKING:
    from flowyml_aws.aws.batch_definition import JobImage
    from flowyml_aws.aws.vcpu_quotas import TypesAboveQuota

__all__ = ["SERVICE", "BatchService", "job_image", "queue_names"]


@dataclass(frozen=True)
class BatchService(Service):
    """The job queues of an account. Batch itself starts a job after its parents: no driver."""

    _account: Account

    @staticmethod
    def host(settings: Settings, project: Path | None) -> Account:
        return Account(settings, project, settings.image)

    @staticmethod
    def is_set_up(settings: Settings, project: Path) -> bool:
        return settings.store is not None

    @staticmethod
    def offline_targets(settings: Settings, catalog: Catalog) -> Sequence[Target]:
        """Return the queues whose types the settings list, or one target with all types."""
        configured = settings_of_service(TRAITS.name, settings.targets)
        listed = [as_target(target, catalog) for target in configured if target.instance_types]
        return listed or offline_targets(catalog, TRAITS.name)

    def targets(self) -> Sequence[Target]:
        if self._account.access_problem is not None:
            raise self._account.access_problem
        return [target.without(self._quotas.closed[target.capacity]) for target in self._targets]

    def closes_types(self, plan: ExecutionPlan) -> bool:
        """Look up the quotas of a plan's instance types. 0 is the default for GPUs."""
        if self._account.access_problem is not None:
            return False
        jobs = [job for job in plan.jobs if job.backend == TRAITS.name]
        return self._quotas.close(jobs, self._account.catalog.types)

    def notes(self) -> Sequence[str]:
        return self._quotas.notes

    @cached_property
    def _quotas(self) -> TypesAboveQuota:
        from flowyml_aws.aws.vcpu_quotas import TypesAboveQuota

        account = self._account
        return TypesAboveQuota(lambda: account.client("service-quotas"), account.region or "")

    @cached_property
    def _targets(self) -> Sequence[Target]:
        from flowyml_aws.aws.discovery import find_targets

        account = self._account
        settings = account.settings
        configured = {t.name: t for t in settings_of_service(TRAITS.name, settings.targets)}
        queues = find_targets(
            account.client("batch"), queue_names(settings), account.offered_types, account.catalog
        )
        return [_with_settings(target, configured.get(target.name)) for target in queues]

    def problems(self) -> list[FlowymlError]:
        account = self._account
        problems: list[FlowymlError] = []
        try:
            if not account.image:
                problems.append(missing_setting("image"))
            if account.access_problem is None:
                self.targets()
        except FlowymlError as error:
            problems.append(error)
        return problems

    def plan_problems(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        """Return what Batch would reject in the request of each job."""
        from flowyml_aws.services.batch.requests import request_problems

        account = self._account
        if account.settings.store is None or account.access_problem is not None:
            return []  # reported by `problems` of the account
        region = account.client("batch").meta.region_name
        own = plan.on(TRAITS.name)
        tags = account.settings.tags
        problems = request_problems(own, record, account.store.uri, region, tags)
        references = {reference for job in own.jobs for reference in job.secrets.values()}
        if references and account.settings.execution_role is None:
            problems.append(missing_setting("execution_role"))  # ECS reads the secrets with it
        return [*problems, *account.secret_problems(references)]

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.batch import BatchBackend
        from flowyml_aws.aws.diagnosis import RunnableDiagnosis

        account = self._account
        return BatchBackend(
            batch=account.client("batch"),
            logs=account.client("logs"),
            store=account.store,
            record=record,
            plan=plan,
            image=job_image(account),
            poll_s=account.settings.poll_s,
            diagnosis=RunnableDiagnosis(account.client, lambda: account.catalog, time.time),
            tags=account.settings.tags,
        )


SERVICE = BatchService


def job_image(account: Account) -> JobImage:
    """Return the image, roles and log group of Batch jobs."""
    from flowyml_aws.aws.batch_definition import JobImage

    settings = account.images.effective_settings
    return JobImage(
        image=settings.image or "",
        job_role=settings.job_role,
        execution_role=settings.execution_role,
        log_group=settings.log_group,
    )


def queue_names(settings: Settings) -> tuple[str, ...]:
    """Return the queues that the settings name, each once; empty for all of the account."""
    described = (target.name for target in settings_of_service(TRAITS.name, settings.targets))
    return tuple(dict.fromkeys((*settings.queues, *described)))


def _with_settings(target: Target, configured: TargetSettings | None) -> Target:
    """Return a queue with the labels and taints that the settings add."""
    if configured is None:
        return target
    taints = {(taint.key, taint.effect): taint for taint in (*target.taints, *configured.taints)}
    labels = {**target.labels, **configured.labels}
    return replace(target, labels=labels, taints=tuple(taints.values()))
