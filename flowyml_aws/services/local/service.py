"""This machine as a service, and as the host of its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.data_inputs import S3Prefix
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.service import Service
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord

__all__ = ["SERVICE", "LocalHost", "LocalService"]


@dataclass(frozen=True)
class LocalHost:
    """This machine, with a store in a directory.

    Attributes:
        region: AWS region of secrets and prefixes of S3 that the jobs read, or None for boto3's.
        warm_starts: Whether jobs may be forks of a process that has imported their packages.
    """

    store: DirectoryArtifactStore
    region: str | None = None
    warm_starts: bool = False

    @property
    def catalog(self) -> Catalog:
        """Instance types of all AWS: requirements that no type meets are mistakes here, too."""
        return load_catalog()

    @property
    def earlier_runs(self) -> ArtifactStore:
        return self.store

    @property
    def image(self) -> None:
        """None: jobs run in the client's Python."""

    def problems(self) -> list[FlowymlError]:
        """Return an error if the store can't be written."""
        try:
            self.store.check()
        except SettingsError as error:
            return [error]
        return []

    def notes(self, today: date) -> Sequence[str]:
        return ()

    def list_prefix(self, prefix: S3Prefix) -> PrefixListing:
        from flowyml_aws.aws.connection.clients import AwsClients
        from flowyml_aws.aws.s3.prefixes import S3Prefixes

        return S3Prefixes(AwsClients(self.region).new("s3")).listing(prefix)


@dataclass(frozen=True)
class LocalService(Service):
    """Jobs as processes of this machine. The command line drives detached runs."""

    _host: LocalHost

    @staticmethod
    def host(settings: Settings, project: Path | None) -> LocalHost:
        """Return this machine, with the store of a project."""
        store = DirectoryArtifactStore((project or Path()) / settings.local_store)
        return LocalHost(store, settings.region, settings.warm_starts)

    @staticmethod
    def is_set_up(settings: Settings, project: Path) -> bool:
        return DirectoryArtifactStore(project / settings.local_store).exists()

    @staticmethod
    def offline_targets(settings: Settings, catalog: Catalog) -> Sequence[Target]:
        return ()

    def targets(self) -> Sequence[Target]:
        return ()

    def plan_problems(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        """Return an error for each secret and each mounted folder that the jobs will not find.

        A variable of this process replaces a secret, and a folder of this machine a file system, so
        that runs here need no AWS account.
        """
        return [*self._missing_secrets(plan), *_missing_folders(plan)]

    def _missing_secrets(self, plan: ExecutionPlan) -> list[FlowymlError]:
        unset = {
            reference
            for job in plan.jobs
            for name, reference in job.secrets.items()
            if name not in os.environ
        }
        if not unset:
            return []
        from flowyml_aws.aws.connection.clients import AwsClients
        from flowyml_aws.aws.secrets import missing_secrets

        try:
            return missing_secrets(unset, AwsClients(self._host.region).new)
        except FlowymlError as error:  # no region, or boto3's configuration can't be read
            return [error]

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        return LocalBackend(
            self._host.store,
            record,
            plan,
            Machine.this(),
            os.environ,
            warm_starts=self._host.warm_starts,
        )


def _missing_folders(plan: ExecutionPlan) -> list[FlowymlError]:
    folders = {mount.at: mount for job in plan.jobs for mount in job.options.mounts}
    return [
        SettingsError(
            what=f"Folder not found: {at}",
            why=f"a step mounts {mount} there, and jobs on this machine use the folder instead",
            fix="create it with data to try the step with, or mount the file system there",
        )
        for at, mount in folders.items()
        if not Path(at).is_dir()
    ]


SERVICE = LocalService
