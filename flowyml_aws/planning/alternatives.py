"""Machines that jobs move to if they can't finish on the planned ones, decided with the plan.

| cause | the job moves to |
|---|---|
| its memory is used up | the cheapest type with twice the memory |
| the memory of a GPU is used up | the same model of GPU with more memory |
| its disk is full | twice the disk |
| its host was lost too often, or no capacity | another target: spot capacity if there is one, \
then on demand; then the same spot capacity again |

A job grows once. Every move keeps the requirements that the user declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.offers import SelectedOffers, Selector
from flowyml_aws.planning.plan import Alternative, ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import Target
from flowyml_aws.runtime.causes import GROWABLE, Cause

__all__ = ["Alternatives", "allowed_moves", "grown", "is_affordable", "with_alternatives"]


def with_alternatives(
    plan: ExecutionPlan, targets: Sequence[Target], catalog: Catalog
) -> ExecutionPlan:
    """Return the plan with the machines that its jobs move to.

    Args:
        plan: Plan whose jobs have instance types.
        targets: Targets that jobs can be sent to.
        catalog: Instance types and prices.
    """
    alternatives = Alternatives(targets, catalog)
    jobs = tuple(
        job.model_copy(update={"moves": alternatives.moves_of(job.backend, job.needs)})
        if job.offers
        else job
        for job in plan.jobs
    )
    return alternatives.added_to(plan.model_copy(update={"jobs": jobs}))


def allowed_moves(plan: ExecutionPlan, limits: Limits) -> ExecutionPlan:
    """Return the plan without moves to types that exceed the price limit, and with the cost limit.

    A type of unknown price exceeds every limit.
    """
    most = limits.price_usd_hour

    def is_allowed(position: int) -> bool:
        price = plan.alternatives[position].highest_price_usd_hour
        return most is None or (price is not None and price <= most)

    def allowed(moves: dict[Cause, int]) -> dict[Cause, int]:
        return {cause: position for cause, position in moves.items() if is_allowed(position)}

    def limited(job: PlannedJob) -> PlannedJob:
        moves = allowed(job.moves)
        return job if moves == job.moves else job.model_copy(update={"moves": moves})

    return plan.model_copy(
        update={
            "jobs": tuple(map(limited, plan.jobs)),
            "alternatives": tuple(
                each.model_copy(update={"moves": allowed(each.moves)}) for each in plan.alternatives
            ),
            "max_cost_usd": limits.cost_usd,
        }
    )


def is_affordable(plan: ExecutionPlan, job: PlannedJob, alternative: Alternative) -> bool:
    """Return whether a move keeps a run below its cost limit, if the job starts again there.

    Each move so far is assumed to have cost what the job's expected time costs on its machine. A
    move of unknown cost is not affordable.
    """
    if plan.max_cost_usd is None:
        return True
    if plan.estimate is None or plan.estimate.cost_usd is None:
        return False
    total = plan.estimate.cost_usd
    moved = [(each, each.highest_price_usd_hour, each.moved) for each in plan.jobs if each.moved]
    for each, price, times in [*moved, (job, alternative.highest_price_usd_hour, 1)]:
        if price is None or each.expected_s is None:
            return False
        total += price * each.expected_s / 3600 * times
    return total <= plan.max_cost_usd


def grown(needs: Needs, cause: Cause, selected: SelectedOffers) -> Needs:
    """Return the needs of a job after a resource was used up on the selected type.

    Args:
        needs: Needs so far.
        cause: Resource that was used up.
        selected: Selection for these needs, on a service with instance types.
    """
    assert selected.selection is not None
    gives = selected.selection.best.gives
    if cause is Cause.OUT_OF_MEMORY:
        # A container on a queue has the memory that it requested; elsewhere, that of the machine.
        on_queue = service_traits(selected.selection.target.kind).runs_on_queues
        limit_mib = needs.memory_mib if on_queue else gives.memory_mib
        return replace(needs, memory_mib=max(2 * needs.memory_mib, limit_mib + 1))
    if cause is Cause.GPU_OUT_OF_MEMORY:
        return replace(needs, gpu_memory_gb=gives.gpu_memory_gb + 1)
    if selected.volume_gib is not None:
        return replace(needs, storage_gib=2 * selected.volume_gib)
    return replace(needs, storage_gib=max(2 * needs.storage_gib, gives.storage_gib + 1))


@dataclass(frozen=True, slots=True)
class _Place:
    """The machine of a job, and how it got there.

    Attributes:
        needs: Needs that the machine was selected for.
        target: Name of the target.
        left: Names of the targets that the job has left.
        is_grown: Whether its needs have grown.
    """

    backend: str
    needs: Needs
    target: str
    left: frozenset[str] = frozenset()
    is_grown: bool = False


class Alternatives:
    """Alternatives of all jobs of a plan, each only once.

    Attributes:
        entries: The alternatives, in the order of their positions.
        startable: Types that the targets may start for them.
    """

    def __init__(self, targets: Sequence[Target], catalog: Catalog) -> None:
        self.entries: list[Alternative] = []
        self.startable: list[tuple[str, InstanceOffer]] = []
        self._targets = targets
        self._catalog = catalog
        self._selectors: dict[tuple[str, frozenset[str], str | None], Selector] = {}
        self._positions: dict[_Place, int] = {}
        self._moves: dict[_Place, dict[Cause, int]] = {}
        self._first_moves: dict[tuple[str, Needs], dict[Cause, int]] = {}

    def moves_of(self, backend: str, needs: Needs) -> dict[Cause, int]:
        """Return the positions of the alternatives of a job, by cause."""
        if (backend, needs) not in self._first_moves:
            here = self._select(backend, needs, frozenset())
            moves = {} if here is None else self._moves_from(_place(backend, needs, here), here)
            self._first_moves[backend, needs] = moves
        return self._first_moves[backend, needs]

    def added_to(self, plan: ExecutionPlan) -> ExecutionPlan:
        """Return the plan with the alternatives that its jobs refer to."""
        startable = {target: list(offers) for target, offers in plan.startable.items()}
        for target, offer in self.startable:
            known = startable.setdefault(target, [])
            if offer not in known:
                known.append(offer)
        return plan.model_copy(
            update={
                "alternatives": tuple(self.entries),
                "startable": {target: tuple(offers) for target, offers in startable.items()},
            }
        )

    def _moves_from(self, place: _Place, here: SelectedOffers) -> dict[Cause, int]:
        if place not in self._moves:
            self._moves[place] = {
                cause: self._position(next_place, selected)
                for cause, next_place, selected in self._next(place, here)
            }
        return self._moves[place]

    def _next(
        self, place: _Place, here: SelectedOffers
    ) -> Iterator[tuple[Cause, _Place, SelectedOffers]]:
        if here.selection is None:
            return
        for cause in () if place.is_grown else GROWABLE:
            if cause is Cause.GPU_OUT_OF_MEMORY and not place.needs.gpu_count:
                continue
            needs = grown(place.needs, cause, here)
            if (selected := self._select(place.backend, needs, place.left)) is not None:
                yield cause, _place(place.backend, needs, selected, place.left, True), selected
        left = place.left | {place.target}
        is_on_spot = here.selection.target.capacity == "spot"
        for capacity in ("spot", "on-demand") if is_on_spot else ("on-demand",):
            selected = self._select(place.backend, place.needs, left, capacity)
            if selected is not None:
                after = _place(place.backend, place.needs, selected, left, place.is_grown)
                yield Cause.CAPACITY, after, selected
                return
        if is_on_spot:
            yield Cause.CAPACITY, place, here

    def _position(self, place: _Place, selected: SelectedOffers) -> int:
        if place not in self._positions:
            position = self._positions[place] = len(self.entries)
            placement = selected.placement(place.backend)
            entry = Alternative(needs=place.needs, **placement)
            self.entries.append(entry)  # before its own moves, which may lead back here
            self.startable += [(entry.target, offer) for offer in selected.startable]
            moves = self._moves_from(place, selected)
            self.entries[position] = entry.model_copy(update={"moves": moves})
        return self._positions[place]

    def _select(
        self, backend: str, needs: Needs, left: frozenset[str], capacity: str | None = None
    ) -> SelectedOffers | None:
        key = (backend, left, capacity)
        if key not in self._selectors:
            remaining = [
                target
                for target in self._targets
                if target.name not in left and capacity in (None, target.capacity)
            ]
            self._selectors[key] = Selector(backend, remaining, self._catalog)
        return self._selectors[key].find(needs)


def _place(
    backend: str,
    needs: Needs,
    selected: SelectedOffers,
    left: frozenset[str] = frozenset(),
    is_grown: bool = False,
) -> _Place:
    return _Place(backend, needs, selected.placement(backend)["target"], left, is_grown)
