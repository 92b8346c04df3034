"""AWS Batch as a service: one job per group, on the account's job queues."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.planning.longest_path import longest_path_s
from flowyml_aws.planning.needs import Toleration
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.services.account import Account, missing_setting
from flowyml_aws.services.batch.traits import TRAITS
from flowyml_aws.services.drivers import (
    DriverJob,
    end_run_driver,
    run_driver_problems,
    start_run_driver,
)
from flowyml_aws.services.service import Service
from flowyml_aws.settings.model import Settings
from flowyml_aws.settings.targets import TargetSettings, as_target, settings_of_service
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from flowyml_aws.aws.batch.definition import JobImage
    from flowyml_aws.aws.ec2.vcpu_quotas import TypesAboveQuota

__all__ = ["SERVICE", "BatchService", "driver_price_usd_hour", "job_image", "queue_names"]

# 1 vCPU at $0.04048 and 2 GB at $0.004445 (https://aws.amazon.com/fargate/pricing/, 2026).
_FARGATE_USD_HOUR = 0.04937

_LIMIT_NOTES = (
    "no driver counts the cost of the run while no client does: only the time limits of its jobs "
    "enforce max_cost_usd then, and an attempt that repeats a lost one has its time limit again",
)
_SPOT_NOTES = (
    "jobs that lose their spot hosts leave this capacity only while a client drives the run: with "
    "the setting driver_queue, a small job does so instead",
)
_NOTICE_NOTES = (
    "the notices of the end are sent by the first client that checks the run after its end: with "
    "the setting driver_queue, a small job sends them at the end",
)


@dataclass(frozen=True)
class BatchService(Service):
    """The job queues of an account. Batch itself starts a job after its parents."""

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
        return [
            replace(
                target.without(self._quotas.closed[target.capacity]),
                node_limits=dict(self._quotas.node_limits[target.capacity]),
            )
            for target in self._targets
        ]

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
        from flowyml_aws.aws.ec2.vcpu_quotas import TypesAboveQuota

        account = self._account
        return TypesAboveQuota(lambda: account.client("service-quotas"), account.region or "")

    @cached_property
    def _targets(self) -> Sequence[Target]:
        from flowyml_aws.aws.batch.discovery import find_targets

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
        from flowyml_aws.aws.batch.own_definition import definition_problems
        from flowyml_aws.services.batch.requests import request_problems

        account = self._account
        if account.settings.store is None or account.access_problem is not None:
            return []  # reported by `problems` of the account
        region = account.client("batch").meta.region_name
        own = plan.on(TRAITS.name)
        tags = account.settings.tags
        problems = request_problems(own, record, account.store.uri, region, tags)
        problems += definition_problems(account.client("batch"), own.jobs)
        references = {reference for job in own.jobs for reference in job.secrets.values()}
        if references and account.settings.execution_role is None:
            problems.append(missing_setting("execution_role"))  # ECS reads the secrets with it
        if plan.debug_shell and own.jobs:
            problems += _shell_problems(account)
        return [*problems, *account.secret_problems(references)]

    def driver_problems(self, plan: ExecutionPlan | None) -> list[FlowymlError]:
        has_late_jobs = plan is not None and plan.has_late_jobs
        if self._account.settings.driver_queue is None and not has_late_jobs:
            return []  # the run needs none
        return run_driver_problems(self._account)

    def driver_notes(self, plan: ExecutionPlan) -> Sequence[str]:
        purposes = _driver_purposes(plan)
        queue = self._account.settings.driver_queue
        if purposes and queue is not None:
            return (
                f"a small job on queue {queue!r} drives the run ({_driver_price(self._account)}): "
                + ", and ".join(purposes),
            )
        limits = _LIMIT_NOTES if plan.max_cost_usd is not None else ()
        spot = _SPOT_NOTES if _can_leave_spot(plan) else ()
        return (*spot, *limits, *(_NOTICE_NOTES if plan.notify else ()))

    def start_driver(self, record: RunRecord, plan: ExecutionPlan) -> bool:
        """Submit a small Batch job that submits held jobs, and moves those that lose spot hosts."""
        if self._account.settings.driver_queue is not None and _driver_purposes(plan):
            start_run_driver(self.driver_job(plan), record, plan)
        return False

    def driver_job(self, plan: ExecutionPlan) -> DriverJob:
        """Return the small Batch job that can drive a run of a plan."""
        from flowyml_aws.aws.batch.driver_job import driver_timeout_s

        account = self._account
        limits_s = {job.name: job.timeout_s for job in plan.jobs}
        return DriverJob(
            account,
            job_image(account),
            account.images.effective_settings,
            account.settings.tags,
            driver_timeout_s(longest_path_s(plan, limits_s)),
            driver_price_usd_hour(account),
        )

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.batch.backend import BatchBackend
        from flowyml_aws.aws.batch.diagnosis import RunnableDiagnosis

        account = self._account
        return BatchBackend(
            batch=account.client("batch"),
            logs=account.client("logs"),
            store=account.store,
            record=record,
            plan=plan,
            image=replace(job_image(account), debug_shell=plan.debug_shell),
            poll_s=account.settings.poll_s,
            diagnosis=RunnableDiagnosis(account.client, lambda: account.catalog, time.time),
            tags=account.settings.tags,
            end_driver=partial(end_run_driver, account, record.run_id),
            ecs=partial(account.client, "ecs"),
        )


SERVICE = BatchService


def _driver_purposes(plan: ExecutionPlan) -> list[str]:
    """Return the reasons why a client or a driver has to drive a run, as clauses."""
    purposes = []
    if plan.has_held_jobs:
        purposes.append("it submits or skips the jobs that wait for decisions")
    if plan.dynamic:
        purposes.append("it runs the pipelines of dynamic steps")
    if _can_leave_spot(plan):
        purposes.append("jobs that lose their spot hosts continue on other capacity")
    if plan.notify:
        purposes.append("it sends the notices of the end")
    return purposes


def _can_leave_spot(plan: ExecutionPlan) -> bool:
    """Return whether a job on spot capacity has other capacity to move to."""
    return any(
        job.capacity == "spot"
        and Cause.CAPACITY in job.moves
        and plan.alternatives[job.moves[Cause.CAPACITY]].target != job.target
        for job in plan.jobs
    )


def driver_price_usd_hour(account: Account) -> float | None:
    """Return the price of the cheapest machine for a driver on its queue; None if unknown."""
    from flowyml_aws.aws.batch.discovery import find_targets
    from flowyml_aws.aws.batch.driver_job import DRIVER_NEEDS, is_on_fargate

    queue = account.settings.driver_queue
    if queue is None:
        return None
    batch = account.client("batch")
    try:
        if is_on_fargate(batch, queue):
            return _FARGATE_USD_HOUR
        targets = find_targets(batch, [queue], account.offered_types, account.catalog)
        # infra/ keeps other jobs from this queue by a taint.
        needs = replace(DRIVER_NEEDS, tolerations=(Toleration(operator="Exists"),))
        return select(needs, targets, account.catalog).price_usd_hour
    except FlowymlError:
        return None


def _driver_price(account: Account) -> str:
    price = driver_price_usd_hour(account)
    if price == _FARGATE_USD_HOUR:
        return f"about ${price:.2f} per hour on Fargate in us-east-1"
    return "at an unknown price" if price is None else f"${price:,.3g} per hour"


def job_image(account: Account) -> JobImage:
    """Return the image, roles and log group of Batch jobs."""
    from flowyml_aws.aws.batch.definition import JobImage

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


def _shell_problems(account: Account) -> list[FlowymlError]:
    """Return an error if boto3 can't request shells in jobs."""
    from flowyml_aws.aws.batch.shell import knows_shells

    if knows_shells(account.client("batch")):
        return []
    return [
        SettingsError(
            what="boto3 can't request shells in jobs of AWS Batch",
            why="debug_shell is set, and its version is too old for `enableExecuteCommand`",
            fix="run `pip install --upgrade boto3`, or omit debug_shell",
        )
    ]
