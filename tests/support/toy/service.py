from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.services.local.service import LocalHost, LocalService
from flowyml_aws.services.service import Service
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord

__all__ = ["SERVICE"]


@dataclass(frozen=True)
class ToyService(Service):
    _host: LocalHost

    @staticmethod
    def host(settings: Settings, project: Path | None) -> LocalHost:
        return LocalHost(DirectoryArtifactStore((project or Path()) / ".toys"))

    @staticmethod
    def is_set_up(settings: Settings, project: Path) -> bool:
        return (project / ".toys").is_dir()

    @staticmethod
    def offline_targets(settings: Settings, catalog: Catalog) -> Sequence[Target]:
        return offline_targets(catalog, "toy")

    def targets(self) -> Sequence[Target]:
        return offline_targets(self._host.catalog, "toy")

    def problems(self) -> list[FlowymlError]:
        if Path("no-toys").exists():
            return [SettingsError("The toy box is empty", "no-toys exists", "remove it")]
        return []

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        return LocalService(self._host).backend(record, plan)


SERVICE = ToyService
