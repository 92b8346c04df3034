"""Where plans are made for without an account: this machine, where jobs run too, or the catalog."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.catalog_files import cache_folder, load_catalog
from flowyml_aws.planning.placement import BATCH, SAGEMAKER
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.settings import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.target_settings import TargetSettings, as_target

if TYPE_CHECKING:
    pass

__all__ = ["CatalogPlace", "LocalPlace"]


@dataclass(frozen=True)
class LocalPlace:
    """This machine."""

    store: DirectoryArtifactStore

    @property
    def image(self) -> None:
        """Jobs run in this Python."""

    def problems(self) -> list[FlowymlError]:
        return []

    def problems_of(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        return []

    def problems_of_driver(self) -> list[FlowymlError]:
        return []

    def start_driver(self, record: RunRecord) -> bool:
        """No: who detaches a run on this machine goes on in a process of its own."""
        return False

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
    backends: tuple[str, ...]

    def targets(self) -> Sequence[Target]:
        from flowyml_aws.training import training_targets

        found: list[Target] = []
        if BATCH in self.backends:
            configured = [as_target(told, self.catalog) for told in self._configured(BATCH)]
            found += configured or offline_targets(self.catalog)
        if SAGEMAKER in self.backends:
            found += training_targets(self.settings, self.catalog)
        return found

    @cached_property
    def catalog(self) -> Catalog:
        region = (
            self.settings.region
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
        )
        return load_catalog(region, cache_folder(os.environ))

    def notes(self, today: date) -> Sequence[str]:
        configured = any(map(self._configured, self.backends))
        basis = "the configured targets" if configured else "all that AWS offers"
        told = f"no account is set up (setting `store`): planned with {basis}"
        return (told, *self.catalog.notes(today))

    @property
    def image(self) -> None:
        """Nothing runs here."""

    @property
    def past(self) -> None:
        """No runs were made here."""

    def _configured(self, backend: str) -> Sequence[TargetSettings]:
        found = (told for told in self.settings.targets if told.kind == backend)
        return [told for told in found if told.instance_types]
