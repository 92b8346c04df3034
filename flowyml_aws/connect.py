"""The composition root of the client: settings in, stores, clients and backends out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import FlowymlError, RunNotFoundError, SettingsError
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.catalog import load_catalog
from flowyml_aws.planning.make import LOCAL
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.settings import Settings, load_settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunRecord, read_plan, read_record

if TYPE_CHECKING:
    from flowyml_aws.aws.instance_types import DescribedTypes
    from flowyml_aws.aws.prices import ToldPrices

__all__ = [
    "BATCH",
    "AwsPlace",
    "LocalPlace",
    "Place",
    "connect",
    "find_run",
    "plan_targets",
    "stores",
]

BATCH = "batch"


@dataclass(frozen=True)
class LocalPlace:
    """This machine."""

    store: DirectoryArtifactStore

    def problems(self) -> list[FlowymlError]:
        return []

    def targets(self) -> Sequence[Target]:
        return ()

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        return LocalBackend(self.store, record, plan, Machine.this(), os.environ)


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
        from flowyml_aws.aws.discovery import bucket_problem

        found = _missing_settings(self.settings)
        try:
            if self._denied is not None:
                return [*found, self._denied]
            if self.settings.store is not None:
                bucket = self.settings.store.removeprefix("s3://").partition("/")[0]
                if problem := bucket_problem(self._client("s3"), bucket):
                    found.append(problem)
            self.targets()
        except FlowymlError as error:
            found.append(error)
        return found

    def targets(self) -> Sequence[Target]:
        # Without credentials every other question has the same answer.
        if self._denied is not None:
            raise self._denied
        return self._targets

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        from flowyml_aws.aws.batch import BatchBackend
        from flowyml_aws.aws.batch_definition import JobImage

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
        )

    @property
    def region(self) -> str | None:
        """The AWS region: the setting, else what boto3 is configured with, else None.

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
    def _targets(self) -> Sequence[Target]:
        from flowyml_aws.aws.discovery import find_targets

        return find_targets(self._client("batch"), self.settings.queues, load_catalog())

    @cached_property
    def _session(self) -> Any:
        import boto3

        return boto3.Session(region_name=self.settings.region)

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
        config = Config(retries={"mode": "adaptive", "max_attempts": 10}, max_pool_connections=32)
        try:
            return self._session.client(service, region_name=region, config=config)
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, f"connect to {service}") from error


Place = LocalPlace | AwsPlace


def connect(backend: str, settings: Settings, project: Path) -> Place:
    """Where runs of a backend go.

    Raises:
        SettingsError: There is no such backend.
    """
    if backend == LOCAL:
        return LocalPlace(DirectoryArtifactStore(project / settings.local_store))
    if backend == BATCH:
        return AwsPlace(settings)
    raise SettingsError(
        what=f"Unknown backend {backend!r}",
        why=f"jobs run on {LOCAL} or {BATCH}",
        fix=f"write backend={LOCAL!r} or backend={BATCH!r}",
    )


def stores(settings: Settings, project: Path) -> Mapping[str, ArtifactStore]:
    """Every store at hand, by backend: this project's, and that on S3 where one is set up."""
    return {backend: place.store for backend, place in _places(settings, project).items()}


def find_run(run_id: str) -> RunDriver:
    """The run with this id, looked for in every store at hand.

    Raises:
        RunNotFoundError: None of them has it.
    """
    project = find_project([]).root
    places = _places(load_settings(project, os.environ), project)
    for place in places.values():
        try:
            record = read_record(place.store, run_id)
        except RunNotFoundError:
            continue
        plan = read_plan(place.store, run_id)
        return RunDriver(place.store, record, plan, place.backend(record, plan))
    searched = " and ".join(place.store.uri for place in places.values())
    raise RunNotFoundError(
        what=f"No run {run_id!r}",
        why=f"looked in {searched}" if searched else f"no store is set up, and {project} has none",
        fix="list the runs with `flowyml-aws runs`; start in the project's folder, and set "
        "FLOWYML_AWS_STORE for runs on AWS",
    )


def _places(settings: Settings, project: Path) -> Mapping[str, Place]:
    found: dict[str, Place] = {}
    if (project / settings.local_store).is_dir():
        found[LOCAL] = connect(LOCAL, settings, project)
    if settings.store is not None:
        found[BATCH] = connect(BATCH, settings, project)
    return found


def plan_targets(backend: str, settings: Settings, project: Path) -> tuple[Sequence[Target], str]:
    """Targets for a plan, and what they are: the account's, or all AWS offers where none is set."""
    if backend == BATCH and settings.store is None:
        note = "no account is set up (setting `store`): planned with all that AWS offers"
        return offline_targets(load_catalog()), note
    return connect(backend, settings, project).targets(), ""


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
