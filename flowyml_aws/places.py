"""Where plans are made for and jobs run: this machine, an AWS account, or all that AWS offers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from flowyml_aws.artifacts.parallel import CONNECTIONS
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.catalog_files import cache_folder, load_catalog
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.settings import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.target_settings import TargetSettings, as_target

if TYPE_CHECKING:
    from flowyml_aws.aws.instance_types import DescribedTypes
    from flowyml_aws.aws.prices import ToldPrices

__all__ = ["AwsPlace", "CatalogPlace", "LocalPlace"]


@dataclass(frozen=True)
class LocalPlace:
    """This machine."""

    store: DirectoryArtifactStore

    def problems(self) -> list[FlowymlError]:
        return []

    def targets(self) -> Sequence[Target]:
        return ()

    @property
    def catalog(self) -> Catalog:
        """Of all AWS: what no instance has is a mistake here, too."""
        return load_catalog()

    def notes(self, today: date) -> Sequence[str]:
        return ()

    @property
    def past(self) -> ArtifactStore:
        """What earlier runs left."""
        return self.store

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        return LocalBackend(self.store, record, plan, Machine.this(), os.environ)


@dataclass(frozen=True)
class CatalogPlace:
    """What can be planned without an account: configured targets, else all that AWS offers."""

    settings: Settings
    kind: Literal["batch", "sagemaker"]

    def targets(self) -> Sequence[Target]:
        configured = [as_target(told, self.catalog) for told in self._configured]
        return configured or offline_targets(self.catalog, self.kind)

    @cached_property
    def catalog(self) -> Catalog:
        region = (
            self.settings.region
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
        )
        return load_catalog(region, cache_folder(os.environ))

    def notes(self, today: date) -> Sequence[str]:
        basis = "the configured targets" if self._configured else "all that AWS offers"
        if self.kind == "batch":
            told = f"no account is set up (setting `store`): planned with {basis}"
        else:
            told = f"planned with {basis}: jobs on SageMaker can't be run yet"
        return (told, *self.catalog.notes(today))

    @property
    def past(self) -> None:
        """No runs were made here."""

    @property
    def _configured(self) -> Sequence[TargetSettings]:
        found = (told for told in self.settings.targets if told.kind == self.kind)
        return [told for told in found if told.instance_types]


@dataclass(frozen=True)
class AwsPlace:
    """An AWS account, as the settings and boto3's own configuration name it."""

    settings: Settings

    @cached_property
    def store(self) -> ArtifactStore:
        from flowyml_aws.aws.s3 import S3ArtifactStore

        assert self.settings.store is not None
        return S3ArtifactStore.from_uri(self._client("s3"), self.settings.store)

    def problems(self) -> list[FlowymlError]:
        """Why jobs can't be submitted: settings, credentials, the bucket, the queues."""
        found = _missing_settings(self.settings)
        try:
            if self._denied is not None:
                return [*found, self._denied]
            if self._bucket_problem is not None:
                found.append(self._bucket_problem)
            self.targets()
        except FlowymlError as error:
            found.append(error)
        return found

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
        if self._bucket_problem is not None:
            told += (f"earlier runs can't be read: {self._bucket_problem.what}",)
        if self._denied is None and self._offered is None:
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
        return AwsPlace(load(read_account(self._client("ssm"), self.settings.account)))

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.batch import BatchBackend
        from flowyml_aws.aws.batch_definition import JobImage
        from flowyml_aws.aws.diagnosis import RunnableDiagnosis

        settings = self.settings
        return BatchBackend(
            batch=self._client("batch"),
            logs=self._client("logs"),
            store=self.store,
            record=record,
            plan=plan,
            image=JobImage(
                image=settings.image or "",
                job_role=settings.job_role,
                execution_role=settings.execution_role,
                log_group=settings.log_group,
            ),
            poll_s=settings.poll_s,
            diagnosis=RunnableDiagnosis(self._client, lambda: self.catalog, time.time),
        )

    @property
    def region(self) -> str | None:
        """The AWS region: the setting, AWS_REGION, what boto3 is configured with, else None.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        import botocore.exceptions

        from flowyml_aws.aws.errors import refused

        try:
            name: str | None = self._session.region_name
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, "find out the region") from error
        return name

    def instance_types(
        self, now: datetime, progress: Callable[[str], None]
    ) -> tuple[DescribedTypes, ToldPrices]:
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
        pricing = self._new_client("pricing", pricing_region(region))
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
        from flowyml_aws.aws.discovery import find_targets

        told = {t.name: t for t in self.settings.targets if t.kind == "batch"}
        queues = tuple(dict.fromkeys((*self.settings.queues, *told)))
        found = find_targets(self._client("batch"), queues, self._offered, self.catalog)
        return [_described(target, told.get(target.name)) for target in found]

    @cached_property
    def _session(self) -> Any:
        import boto3

        # As the other SDKs do: boto3 itself reads only AWS_DEFAULT_REGION.
        region = self.settings.region or os.environ.get("AWS_REGION")
        return boto3.Session(region_name=region)

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def _client(self, service: str) -> Any:
        if service not in self._clients:  # to make one takes longer than most calls
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: str, region: str | None = None) -> Any:
        import botocore.exceptions
        from botocore.config import Config

        from flowyml_aws.aws.errors import refused

        # Throttled calls back off by the client's own measure of the service's rate.
        config = Config(
            retries={"mode": "adaptive", "max_attempts": 10},
            max_pool_connections=CONNECTIONS,
            # What is read is verified by the digest that the run keeps.
            response_checksum_validation="when_required",
        )
        try:
            return self._session.client(service, region_name=region, config=config)
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, f"connect to {service}") from error


def _described(target: Target, told: TargetSettings | None) -> Target:
    """A queue with the labels and taints that the configuration adds."""
    if told is None:
        return target
    taints = {(taint.key, taint.effect): taint for taint in (*target.taints, *told.taints)}
    return replace(target, labels={**target.labels, **told.labels}, taints=tuple(taints.values()))


def _missing_settings(settings: Settings) -> list[FlowymlError]:
    needed: dict[str, Callable[[Settings], str | None]] = {
        "store": lambda s: s.store,
        "image": lambda s: s.image,
    }
    return [
        SettingsError(
            what=f"Setting `{name}` is missing",
            why="jobs on AWS need it",
            fix=f"set {name} in flowyml-aws.toml or FLOWYML_AWS_{name.upper()} "
            "(`flowyml-aws emulate` prints settings to try it without an account)",
        )
        for name, value in needed.items()
        if not value(settings)
    ]
