"""Facts for the plans of the pipelines that dynamic steps return, which jobs can't look up."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.distributions import VersionRule
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.planning.placement import Origin, Placement
from flowyml_aws.planning.targets import Target

__all__ = ["CatalogFacts", "ExpansionFacts"]


class CatalogFacts(Document):
    """The catalog of the client, with its prices."""

    region: str
    specifications_date: date
    prices_date: date
    types: tuple[InstanceType, ...]
    sources: dict[str, str] = Field(default_factory=dict)
    prices_region: str = ""

    @classmethod
    def of(cls, catalog: Catalog) -> CatalogFacts:
        """Return the facts of a catalog."""
        members: dict[str, Any] = {name: getattr(catalog, name) for name in cls.model_fields}
        return cls(**members)

    def catalog(self) -> Catalog:
        """Return the catalog."""
        return Catalog(
            region=self.region,
            specifications_date=self.specifications_date,
            prices_date=self.prices_date,
            types=self.types,
            sources=self.sources,
            prices_region=self.prices_region,
        )


class ExpansionFacts(Document):
    """Facts of the client at the start of a run with dynamic steps.

    The plans of all pipelines of the run are made from them: same targets, prices and options.

    Attributes:
        rest, named, origin: Members of the `Placement` of the run.
        targets: Targets that jobs can be sent to.
        image: Container image of the jobs; None on this machine.
        environment: Environment variables of all jobs.
        secrets: References to secrets for all jobs, by environment variable.
        cache: Whether outputs of earlier runs may be reused.
        cache_versions: Rule for the versions of packages in cache keys.
        pins: Versions of packages that the project requires.
        pins_source: Name of the setting or file with these versions.
        stores_all: Whether all outputs are stored.
        spot: Use of spot capacity for jobs without a rule of their own.
        max_price_usd_hour: Maximum price of a job; None for no limit.
        stop_idle_gpu_s: Seconds without use of its GPUs after which a job is stopped, or None.
        debug_shell: Whether shells can be opened in the jobs on AWS.
    """

    version: Literal[1] = 1
    rest: str | None
    named: dict[str, str] = Field(default_factory=dict)
    origin: Origin = "argument"
    targets: tuple[Target, ...]
    catalog: CatalogFacts
    image: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    cache: bool = True
    cache_versions: VersionRule = "direct"
    pins: dict[str, str] = Field(default_factory=dict)
    pins_source: str = ""
    stores_all: bool = False
    spot: SpotRule | None = None
    max_price_usd_hour: float | None = None
    stop_idle_gpu_s: float | None = None
    debug_shell: bool = False

    @property
    def placement(self) -> Placement:
        """Service of each group. Groups that the run does not have get the service of the rest."""
        return Placement(self.rest, self.named, self.origin)
