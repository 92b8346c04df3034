"""Planning in a job: with the facts of the client instead of an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.data_inputs import S3Prefix
from flowyml_aws.planning.expansion_facts import ExpansionFacts
from flowyml_aws.planning.targets import Target

__all__ = ["FactServices"]


@dataclass(frozen=True)
class FactServices:
    """Services as the client of the run has found them.

    Attributes:
        facts: Facts of the client.
        earlier_runs: Store of the run.
    """

    facts: ExpansionFacts
    earlier_runs: ArtifactStore

    @property
    def host(self) -> FactServices:
        return self

    def targets(self) -> Sequence[Target]:
        return self.facts.targets

    @cached_property
    def catalog(self) -> Catalog:
        return self.facts.catalog.catalog()

    def list_prefix(self, prefix: S3Prefix) -> None:
        """Return None: a pipeline that a step returns has no external inputs."""

    @property
    def image(self) -> str | None:
        return self.facts.image

    def notes(self, today: date) -> Sequence[str]:
        """Return no notes: the plan of the run has them."""
        return ()
