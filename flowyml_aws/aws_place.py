"""An AWS account as a place for plans and runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.clients import AwsClients
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.catalog_files import cache_folder, load_catalog
from flowyml_aws.planning.placement import BATCH, SAGEMAKER
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target
from flowyml_aws.settings import Settings, as_environment
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.submission.routing import RoutedBackend
from flowyml_aws.target_settings import TargetSettings

if TYPE_CHECKING:
    from flowyml_aws.aws.batch_definition import JobImage
    from flowyml_aws.aws.instance_types import DescribedTypes
    from flowyml_aws.aws.prices import PriceTable
    from flowyml_aws.aws.sagemaker_terms import TrainingTerms
    from flowyml_aws.images.choice import ImageChoice

__all__ = ["AwsPlace"]


@dataclass(frozen=True)
class AwsPlace:
    """An AWS account, as the settings and boto3's own configuration name it.

    Attributes:
        backends: Those that runs use: `batch`, `sagemaker` or both.
        project: Root of the project that runs are of; None where no new ones are made.
    """

    settings: Settings
    backends: tuple[str, ...] = field(default=(BATCH,))
    project: Path | None = None

    @cached_property
    def store(self) -> ArtifactStore:
        from flowyml_aws.aws.s3 import S3ArtifactStore

        assert self.settings.store is not None
        return S3ArtifactStore.from_uri(self._client("s3"), self.settings.store)

    def problems(self) -> list[FlowymlError]:
        """Why jobs can't be submitted: settings, credentials, the bucket, the queues."""
        try:
            found = _missing_settings(self.images.chosen, self.backends)
        except FlowymlError as error:
            found = [error]
        try:
            if self._denied is not None:
                return [*found, self._denied]
            if self._bucket_problem is not None:
                found.append(self._bucket_problem)
            if self.images.problem is not None:
                found.append(self.images.problem)
            if SAGEMAKER in self.backends:
                from flowyml_aws.training import problems_of_settings

                found += problems_of_settings(self.training)
            self.targets()
        except FlowymlError as error:
            found.append(error)
        return found

    def problems_of(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        """Why AWS would refuse jobs of a plan."""
        from flowyml_aws.training import problems_of_settings, problems_of_training

        if SAGEMAKER not in self.backends or self.settings.store is None:
            return []
        try:
            terms = self.training
        except FlowymlError:
            return []  # `problems` says so
        # What is missing is told once, not for each job.
        if problems_of_settings(terms):
            return []
        return problems_of_training(plan, record, self.store.uri, terms)

    def targets(self) -> Sequence[Target]:
        # Without credentials every other question has the same answer.
        if self._denied is not None:
            raise self._denied
        return self._targets

    @cached_property
    def catalog(self) -> Catalog:
        """The region's, as it was refreshed last, else the one in the package."""
        return load_catalog(self.region, cache_folder(os.environ))

    def notes(self, today: date) -> Sequence[str]:
        told = self.catalog.notes(today)
        if self._denied is None:
            told += self.images.notes()
        if self._bucket_problem is not None:
            told += (f"earlier runs can't be read: {self._bucket_problem.what}",)
        asked = BATCH in self.backends and self._denied is None
        if asked and self._offered is None:
            told += (
                "which types the region offers could not be asked (ec2:"
                "DescribeInstanceTypeOfferings is denied): retired types are left out",
            )
        return told

    @property
    def past(self) -> ArtifactStore | None:
        """What earlier runs left; None where it can't be read, which is a problem or a note."""
        unreadable = self.settings.store is None or self._bucket_problem is not None
        return None if unreadable else self.store

    def with_account(self, load: Callable[[str], Settings]) -> AwsPlace:
        """The place with the settings of the account's own parameter below the others.

        Args:
            load: Makes settings of what the parameter says.

        Raises:
            SettingsError: There is no such parameter, or it is malformed.
            AwsRefusedError: AWS denied the call.
        """
        from flowyml_aws.aws.account import read_account

        assert self.settings.account is not None
        if self._denied is not None:
            raise self._denied
        settings = load(read_account(self._client("ssm"), self.settings.account))
        return AwsPlace(settings, self.backends, self.project)

    def problems_of_driver(self) -> list[FlowymlError]:
        """Why a run can't go on without this machine; empty where it needs no driver."""
        from flowyml_aws.aws.batch_driver import driver_problem

        if SAGEMAKER not in self.backends:
            return []
        found: list[FlowymlError] = []
        try:
            if not self.image:
                found += _missing_settings(self.settings, (BATCH,))[-1:]
            if self._denied is None:
                problem = driver_problem(self._client("batch"), self.settings.driver_queue)
                found += [problem] if problem is not None else []
        except FlowymlError as error:
            found.append(error)
        return found

    def start_driver(self, record: RunRecord) -> bool:
        """Hand a run over to a driver in the cloud; False where it needs none."""
        from flowyml_aws.aws.batch_driver import start_driver
        from flowyml_aws.training import settings_of_driver

        if SAGEMAKER not in self.backends:
            return False
        queue = self.settings.driver_queue
        assert queue is not None  # or `problems_of_driver` has said so
        start_driver(
            self._client("batch"),
            queue,
            replace(self._image, job_role=self.settings.driver_role or self.settings.job_role),
            record,
            as_environment(settings_of_driver(self.images.chosen, self.training)),
            self.training.tags,
        )
        return True

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        """Where the jobs of a plan go: one backend, or several as one."""
        if plan.image and not self.image:
            # What it was planned with: here is no project to tell it.
            planned = replace(self, settings=replace(self.settings, image=plan.image))
            return planned.backend(record, plan)
        make = {BATCH: self._batch, SAGEMAKER: self._sagemaker}
        names = sorted({job.backend for job in plan.jobs}) or [BATCH]
        if len(names) == 1:
            return make[names[0]](record, plan)
        return RoutedBackend(plan, {name: make[name](record, plan.on(name)) for name in names})

    def _batch(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.batch import BatchBackend
        from flowyml_aws.aws.diagnosis import RunnableDiagnosis

        return BatchBackend(
            batch=self._client("batch"),
            logs=self._client("logs"),
            store=self.store,
            record=record,
            plan=plan,
            image=self._image,
            poll_s=self.settings.poll_s,
            diagnosis=RunnableDiagnosis(self._client, lambda: self.catalog, time.time),
            tags=self.settings.tags,
        )

    @cached_property
    def images(self) -> ImageChoice:
        """Which image jobs run in."""
        from flowyml_aws.images.choice import ImageChoice

        named = self.settings.image
        if BATCH not in self.backends:
            named = self.settings.sagemaker_image or named
        return ImageChoice(
            self.settings, self.project, named, lambda region: self._clients.new("ecr", region)
        )

    @property
    def image(self) -> str | None:
        """What jobs run in, unless SageMaker's have an image of their own.

        Raises:
            SettingsError: What the project's image is made of can't be read.
        """
        return self.images.chosen.image

    @property
    def _image(self) -> JobImage:
        from flowyml_aws.aws.batch_definition import JobImage

        settings = self.images.chosen
        return JobImage(
            image=settings.image or "",
            job_role=settings.job_role,
            execution_role=settings.execution_role,
            log_group=settings.log_group,
        )

    def _sagemaker(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.sagemaker import SageMakerBackend

        return SageMakerBackend(
            sagemaker=self._client("sagemaker"),
            logs=self._client("logs"),
            store=self.store,
            record=record,
            plan=plan,
            terms=self.training,
            poll_s=self.settings.poll_s,
        )

    @cached_property
    def training(self) -> TrainingTerms:
        """What training jobs have in common.

        Raises:
            SettingsError: The organisation's defaults can't be read.
        """
        from flowyml_aws.training import training_terms

        return training_terms(self.images.chosen, self._client("sagemaker").meta.region_name)

    @property
    def session(self) -> Any:
        """A session of boto3, for who looks at the account itself.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        return self._clients.session

    @property
    def region(self) -> str | None:
        """The AWS region: the setting, AWS_REGION, what boto3 is configured with, else None.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        return self._clients.region

    def instance_types(
        self, now: datetime, progress: Callable[[str], None]
    ) -> tuple[DescribedTypes, PriceTable]:
        """The region's instance types and prices, as EC2 and the Price List API tell them now.

        Raises:
            AwsRefusedError: No credentials or no region, or a call was denied.
        """
        from flowyml_aws.aws.instance_types import read_specifications
        from flowyml_aws.aws.prices import pricing_region, read_prices

        if self._denied is not None:
            raise self._denied
        ec2 = self._client("ec2")
        region = ec2.meta.region_name
        pricing = self._clients.new("pricing", pricing_region(region))
        described = read_specifications(ec2, region, now.date(), progress)
        return described, read_prices(pricing, ec2, region, now, progress)

    @cached_property
    def _denied(self) -> FlowymlError | None:
        from flowyml_aws.aws.discovery import credentials_problem

        return credentials_problem(self._client("sts"))

    @cached_property
    def _bucket_problem(self) -> FlowymlError | None:
        from flowyml_aws.aws.discovery import bucket_problem

        if self.settings.store is None:
            return None
        bucket = self.settings.store.removeprefix("s3://").partition("/")[0]
        return bucket_problem(self._client("s3"), bucket)

    @cached_property
    def _offered(self) -> Collection[str] | None:
        from flowyml_aws.aws.account import offered_types

        return offered_types(self._client("ec2"))

    @cached_property
    def _targets(self) -> Sequence[Target]:
        from flowyml_aws.training import training_targets

        found: list[Target] = []
        if BATCH in self.backends:
            found += self._queues
        if SAGEMAKER in self.backends:
            found += training_targets(self.settings, self.catalog)
        return found

    @property
    def _queues(self) -> Sequence[Target]:
        from flowyml_aws.aws.discovery import find_targets

        told = {t.name: t for t in self.settings.targets if t.kind == BATCH}
        queues = tuple(dict.fromkeys((*self.settings.queues, *told)))
        found = find_targets(self._client("batch"), queues, self._offered, self.catalog)
        return [_described(target, told.get(target.name)) for target in found]

    @cached_property
    def _clients(self) -> AwsClients:
        return AwsClients(self.settings.region)

    def _client(self, service: str) -> Any:
        return self._clients.client(service)


def _described(target: Target, told: TargetSettings | None) -> Target:
    """A queue with the labels and taints that the configuration adds."""
    if told is None:
        return target
    taints = {(taint.key, taint.effect): taint for taint in (*target.taints, *told.taints)}
    return replace(target, labels={**target.labels, **told.labels}, taints=tuple(taints.values()))


_INSTEAD = {"image": ", or `repository`, and push the project's image there"}


def _missing_settings(settings: Settings, backends: Collection[str]) -> list[FlowymlError]:
    needed: dict[str, Callable[[Settings], str | None]] = {"store": lambda s: s.store}
    if BATCH in backends:
        needed["image"] = lambda s: s.image
    return [
        SettingsError(
            what=f"Setting `{name}` is missing",
            why="jobs on AWS need it",
            fix=f"set {name} in flowyml-aws.toml or FLOWYML_AWS_{name.upper()}"
            f"{_INSTEAD.get(name, '')} "
            "(`flowyml-aws emulate` prints settings to try it without an account)",
        )
        for name, value in needed.items()
        if not value(settings)
    ]
