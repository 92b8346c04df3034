"""Planning without an account: with the configured targets, or with all that AWS offers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.data_inputs import S3Prefix
from flowyml_aws.core.folders import cache_folder
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.service import service_type
from flowyml_aws.settings.model import Settings
from flowyml_aws.settings.targets import settings_of_service

__all__ = ["OfflineServices"]


@dataclass(frozen=True)
class OfflineServices:
    """Services without an account: plans can be made for them, but no runs."""

    settings: Settings
    names: tuple[str, ...]

    @property
    def host(self) -> OfflineServices:
        return self

    def targets(self) -> Sequence[Target]:
        types = map(service_type, self.names)
        return [t for each in types for t in each.offline_targets(self.settings, self.catalog)]

    @cached_property
    def catalog(self) -> Catalog:
        region = (
            self.settings.region
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
        )
        return load_catalog(region, cache_folder(os.environ))

    def notes(self, today: date) -> Sequence[str]:
        configured = [
            target
            for name in self.names
            for target in settings_of_service(name, self.settings.targets)
            if target.instance_types
        ]
        basis = "the configured targets" if configured else "all that AWS offers"
        note = f"no account is set up (setting `store`): planned with {basis}"
        return (note, *self.catalog.notes(today))

    def list_prefix(self, prefix: S3Prefix) -> None:
        """Return None: there are no credentials to list it with."""

    @property
    def image(self) -> None:
        """None: nothing runs."""

    @property
    def earlier_runs(self) -> None:
        """None: there are no runs."""
