"""Selection of the instance types of a job, with their prices, on one backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import InstanceOffer
from flowyml_aws.planning.selection import Selection, find, select
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.startable import startable_types
from flowyml_aws.planning.targets import Candidate, Target, offline_targets

__all__ = ["SelectedOffers", "Selector"]

_MIN_VOLUME_GIB = 30  # image, code and temporary files; the SDK's default


@dataclass(frozen=True, slots=True)
class SelectedOffers:
    """The selection for all jobs with the same needs, with its offers; None on this machine."""

    selection: Selection | None
    offers: tuple[InstanceOffer, ...] = ()
    startable: tuple[InstanceOffer, ...] = ()
    notes: tuple[str, ...] = ()

    def placement(self, backend: str) -> dict[str, Any]:
        """Return the members of `PlannedJob` that the selection decides."""
        target = self.selection.target if self.selection is not None else None
        return {
            "target": backend if target is None else target.name,
            "capacity": "on-demand" if target is None else target.capacity,
            "offers": self.offers,
            "volume_gib": self.volume_gib,
            "efa_interfaces": self.efa_interfaces,
            "share": None if target is None else target.share,
            # The most expensive type that the service may start.
            "highest": self.startable[-1] if self.startable else None,
        }

    @property
    def volume_gib(self) -> int | None:
        """Size of the EBS volume to request; None without one, or if the target has the disks."""
        if self.selection is None or self.selection.instance.nvme_gb:
            return None
        if not service_traits(self.selection.target.kind).has_job_volumes:
            return None
        return max(_MIN_VOLUME_GIB, self.selection.request.needs.storage_gib)

    @property
    def efa_interfaces(self) -> int:
        """Elastic Fabric Adapters to request for the container of each node; 0 on one machine."""
        if self.selection is None or self.selection.request.needs.nodes == 1:
            return 0
        return self.selection.target.efa_interfaces


class Selector:
    """Selection for one backend, made once for groups with equal needs."""

    def __init__(self, backend: str, targets: Sequence[Target], catalog: Catalog) -> None:
        self._has_instances = service_traits(backend).hosted is not None
        of_backend = [target for target in targets if target.kind == backend]
        self._targets = of_backend if self._has_instances else offline_targets(catalog)
        self._catalog = catalog
        self._cache: dict[Needs, SelectedOffers | FlowymlError] = {}

    def select_for(self, needs: Needs) -> SelectedOffers | FlowymlError:
        """Return the selected offers, or the error that no type fits.

        On this machine, the error means that no type of the whole catalog fits.
        """
        if needs not in self._cache:
            self._cache[needs] = self._select(needs)
        return self._cache[needs]

    def find(self, needs: Needs) -> SelectedOffers | None:
        """Return the selected offers without notes, or None if nothing fits."""
        selection = find(needs, self._targets, self._catalog)
        return None if selection is None else self._offers(selection, ())

    def offer(self, needs: Needs) -> InstanceOffer | None:
        """Return the best offer, or None if nothing fits."""
        selected = self.select_for(needs)
        return None if isinstance(selected, FlowymlError) else selected.offers[0]

    def _select(self, needs: Needs) -> SelectedOffers | FlowymlError:
        try:
            if not self._has_instances:
                anywhere = replace(needs, required=(), preferred=(), tolerations=())
                select(anywhere, self._targets, self._catalog)
                return SelectedOffers(None)
            selection = select(needs, self._targets, self._catalog)
        except FlowymlError as error:
            return error
        return self._offers(selection, (*selection.notes, *map(str, selection.near_misses())))

    def _offers(self, selection: Selection, notes: tuple[str, ...]) -> SelectedOffers:
        needs = selection.request.needs
        return SelectedOffers(
            selection=selection,
            offers=tuple(_offer(c, needs) for c in (selection.best, *selection.fallbacks)),
            startable=tuple(
                _offer(c, needs) for c in startable_types(needs, selection.best, self._catalog)
            ),
            notes=notes,
        )


def _offer(candidate: Candidate, needs: Needs) -> InstanceOffer:
    return InstanceOffer(
        instance_type=candidate.name,
        price_usd_hour=needs.price_of_nodes(candidate.price_usd_hour),
        price_basis=candidate.price_basis,
        nodes=needs.nodes,
    )
