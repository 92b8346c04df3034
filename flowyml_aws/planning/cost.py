"""Expected cost and time of a run, from earlier runs, and other ways to split it into jobs.

The expected time of a job is its startup time plus the sum of its steps. Each step is expected to
take the median of earlier runs with the same number of nodes on the same instance type, or on any
type or number if there is none. The job costs its price for that time. Moving assets is not
included. Of the branches of a decision, the one with the highest cost counts, and for the time, the
slowest one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.resources import ResourceRequirements, merge_resources
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.cases import ALWAYS, Amounts, Cases, highest_end, highest_sum
from flowyml_aws.planning.durations import Durations, items_of
from flowyml_aws.planning.held import required_cases
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.plan import Estimate, ExecutionPlan, InstanceOffer, Variant
from flowyml_aws.planning.services import service_traits

__all__ = ["with_costs"]

_MAX_BLOCKS = 100  # in the cheapest split of a group, which compares all pairs of cuts

Offers = Callable[[Needs], InstanceOffer | None]


@dataclass(frozen=True, slots=True)
class _Part:
    """Steps in one job of a possible split.

    Attributes:
        steps: Names of the steps.
        times: Seconds of the steps and of the start, by the cases in which they count.
        price_usd_hour: Price of the machines; None if it is unknown, or on this machine.
    """

    steps: tuple[str, ...]
    times: Amounts
    price_usd_hour: float | None

    @property
    def seconds(self) -> float:
        """Seconds of the job in the slowest run."""
        return highest_sum(self.times.items())

    @property
    def cost_usd(self) -> float | None:
        """Cost of these seconds; None if the price is unknown."""
        return None if self.price_usd_hour is None else self.price_usd_hour * self.seconds / 3600


def with_costs(
    plan: ExecutionPlan,
    graph: StepGraph,
    groups: Sequence[StepGroup],
    history: Sequence[RunTimes],
    offers: Mapping[str, Offers],
) -> ExecutionPlan:
    """Return the plan with the expected time and cost of each job and of the whole run.

    Args:
        plan: Plan with one job per group, in the same order.
        graph: Graph of the steps.
        groups: All step groups.
        history: Earlier runs, newest first; without any, the plan is returned unchanged.
        offers: For each backend, a function that returns the best offer for any needs, or None if
            nothing fits.
    """
    if not history or not plan.jobs:
        return plan
    durations = Durations(history, {step.name: items_of(step) for step in graph.steps})
    required = required_cases(graph)
    by_backend = {
        b: _Costing(service_traits(b).startup_s, durations, offer, required)
        for b, offer in offers.items()
    }
    costings = [by_backend[job.backend] for job in plan.jobs]
    parts = [
        costing.part(job.steps, job.offers[0] if job.offers else None, job.needs.nodes)
        for costing, job in zip(costings, plan.jobs, strict=True)
    ]
    jobs = tuple(
        job
        if part is None
        else job.model_copy(update={"expected_s": part.seconds, "expected_cost_usd": part.cost_usd})
        for job, part in zip(plan.jobs, parts, strict=True)
    )
    unknown = tuple(
        s for job in plan.jobs for s in job.steps if durations.expected_s(s, None) is None
    )
    known = [part for part in parts if part is not None]
    is_complete = len(known) == len(parts)
    variants: list[Variant] = []
    if is_complete and plan.is_priced:
        variants = list(_variants(costings, graph, groups, known))
    assets = {asset for job in plan.jobs for names in job.produces.values() for asset in names}
    sizes: dict[str, int] = {}
    for run in reversed(history):  # newest last: it overrides older sizes
        sizes.update((a, size) for a, size in run.asset_bytes.items() if a in assets)
    estimate = Estimate(
        runs=len(history),
        startup_s=max(costing.startup_s for costing in costings),
        cost_usd=_sum(known) if is_complete else None,
        wall_s=_wall_s(known, graph) if is_complete else None,
        unknown=unknown,
        variants=tuple(variants),
    )
    notes = (*plan.notes, *_notes(plan, durations))
    return plan.model_copy(
        update={"jobs": jobs, "estimate": estimate, "asset_bytes": sizes, "notes": notes}
    )


def _notes(plan: ExecutionPlan, durations: Durations) -> Iterator[str]:
    """Yield notes on expected times that were measured in other circumstances."""
    steps = [(step, job) for job in plan.jobs for step in job.steps]
    on_others = {
        "on other instance types": [
            step for step, job in steps if durations.only_on_other_types(step, job.instance_type)
        ],
        "in jobs with another number of nodes": [
            step for step, job in steps if durations.only_on_other_nodes(step, job.needs.nodes)
        ],
    }
    for where, names in on_others.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"expected times of {', '.join(map(repr, names[:3]))}{more} were measured {where}"


class _Costing:
    """Time and cost of steps in one job; each offer and duration is looked up once."""

    def __init__(
        self, startup_s: int, durations: Durations, offer: Offers, required: Mapping[str, Cases]
    ) -> None:
        self.startup_s = startup_s
        self._required = required
        self._durations = durations
        self._offer = offer
        self._offers: dict[frozenset[Needs], InstanceOffer | None] = {}
        self._seconds: dict[tuple[str, str | None, int], float | None] = {}

    def part(
        self, steps: Sequence[str], offer: InstanceOffer | None, nodes: int = 1
    ) -> _Part | None:
        """Return the time and cost of steps in one job, or None if one of them has never run.

        Args:
            steps: Names of the steps.
            offer: Machines of the job; None on this machine.
            nodes: Number of nodes of a job without an offer.
        """
        instance_type = offer.instance_type if offer else None
        nodes = offer.nodes if offer else nodes
        required = [self._required.get(step, ALWAYS) for step in steps]
        times: dict[Cases, float] = {required[0].intersection(*required): float(self.startup_s)}
        for step, cases in zip(steps, required, strict=True):
            step_s = self.seconds(step, instance_type, nodes)
            if step_s is None:
                return None
            times[cases] = times.get(cases, 0.0) + step_s
        return _Part(tuple(steps), times, offer.price_usd_hour if offer else None)

    def seconds(self, step: str, instance_type: str | None, nodes: int) -> float | None:
        """Return the expected seconds of a step, or None if it has never run."""
        key = step, instance_type, nodes
        if key not in self._seconds:
            self._seconds[key] = self._durations.expected_s(step, instance_type, nodes)
        return self._seconds[key]

    def offer(self, resources: Mapping[Needs, ResourceRequirements | None]) -> InstanceOffer | None:
        """Return the best offer for steps with these needs in one job, or None if nothing fits."""
        # Merging is idempotent, commutative and associative, so the set of needs is the key.
        key = frozenset(resources)
        if key not in self._offers:
            merged = merge_resources(part for part in resources.values() if part is not None)
            self._offers[key] = self._offer(needs_of(merged))
        return self._offers[key]


def _variants(
    costings: Sequence[_Costing],
    graph: StepGraph,
    groups: Sequence[StepGroup],
    grouped: Sequence[_Part],
) -> Iterator[Variant]:
    whole = _variant("as grouped", graph, grouped)
    yield whole
    steps = [(c, s) for c, group in zip(costings, groups, strict=True) for s in group.steps]
    if len(steps) > len(grouped):
        alone = [_alone(costing, step) for costing, step in steps]
        fitting = [part for part in alone if part is not None]
        if len(fitting) == len(alone):
            yield _variant("each step alone", graph, fitting)
        splits = [
            _cheapest_split(costing, group, part)
            for costing, group, part in zip(costings, groups, grouped, strict=True)
        ]
        cuts = {
            group.group_name: tuple(part.steps for part in parts)
            for group, parts in zip(groups, splits, strict=True)
            if len(parts) > 1
        }
        split = _variant("cheapest split", graph, [p for parts in splits for p in parts], cuts)
        # A split of jobs that count only in some runs may save nothing in the most expensive run.
        is_more = (split.cost_usd or 0.0) > (whole.cost_usd or 0.0)
        yield whole.model_copy(update={"name": split.name}) if is_more else split


def _variant(
    name: str,
    graph: StepGraph,
    parts: Sequence[_Part],
    cuts: Mapping[str, tuple[tuple[str, ...], ...]] | None = None,
) -> Variant:
    wall_s = _wall_s(parts, graph)
    return Variant(
        name=name, jobs=len(parts), cost_usd=_sum(parts), wall_s=wall_s, cuts=dict(cuts or {})
    )


def _alone(costing: _Costing, step: Step) -> _Part | None:
    resources = step.requirements()
    offer = costing.offer({needs_of(resources): resources})
    return None if offer is None else costing.part([step.name], offer)


def _cheapest_split(costing: _Costing, group: StepGroup, whole: _Part) -> list[_Part]:
    """Return the consecutive parts of a group with the lowest total cost, or the whole group."""
    blocks = _blocks(group.steps)
    if whole.cost_usd is None or not 1 < len(blocks) <= _MAX_BLOCKS:
        return [whole]
    # cheapest[n]: lowest cost of the first n blocks, and the start of their last part.
    cheapest: list[tuple[float, int]] = [(0.0, 0)]
    cheapest += [(math.inf, 0)] * len(blocks)
    sums_on: dict[tuple[str, int], list[float]] = {}  # seconds before each block, by machines
    for start in range(len(blocks)):
        together: dict[Needs, ResourceRequirements | None] = {}
        offer: InstanceOffer | None = None
        for end in range(start + 1, len(blocks) + 1):
            needs, steps = blocks[end - 1]
            if needs not in together:
                together[needs] = steps[0].requirements()
                offer = costing.offer(together)
            if offer is None or offer.price_usd_hour is None:
                continue
            machines = offer.instance_type, offer.nodes
            if machines not in sums_on:
                sums_on[machines] = _sums(costing, blocks, *machines)
            sums = sums_on[machines]
            seconds = costing.startup_s + sums[end] - sums[start]
            cost = cheapest[start][0] + offer.price_usd_hour * seconds / 3600
            if cost < cheapest[end][0]:
                cheapest[end] = (cost, start)
    if cheapest[-1][0] >= whole.cost_usd * (1 - 1e-9):  # float sums depend on their order
        return [whole]
    parts: list[_Part] = []
    end = len(blocks)
    while end:
        start = cheapest[end][1]
        names = [step.name for _, run in blocks[start:end] for step in run]
        offer = costing.offer({needs: run[0].requirements() for needs, run in blocks[start:end]})
        part = costing.part(names, offer)
        assert part is not None  # the whole group has a cost, so every step has run
        parts.insert(0, part)
        end = start
    return parts


def _blocks(steps: Sequence[Step]) -> list[tuple[Needs, tuple[Step, ...]]]:
    """Return the units of a split: single steps, or in a long group runs of steps with equal needs.

    A cut between steps with equal needs can only save cost if one is faster on the instance type
    of the left part and the other on that of the right part.
    """
    needs = [needs_of(step.requirements()) for step in steps]
    if len(steps) <= _MAX_BLOCKS:
        return [(each, (step,)) for each, step in zip(needs, steps, strict=True)]
    rows = groupby(zip(needs, steps, strict=True), key=itemgetter(0))
    return [(each, tuple(step for _, step in row)) for each, row in rows]


def _sums(
    costing: _Costing,
    blocks: Sequence[tuple[Needs, tuple[Step, ...]]],
    instance_type: str,
    nodes: int,
) -> list[float]:
    """Return the cumulative seconds before each block, and the total as the last item."""
    sums = [0.0]
    for _, steps in blocks:
        seconds = (costing.seconds(step.name, instance_type, nodes) or 0 for step in steps)
        sums.append(sums[-1] + sum(seconds))
    return sums


def _wall_s(parts: Sequence[_Part], graph: StepGraph) -> float:
    """Return the time of the critical path: each part starts after those whose assets it reads."""
    part_of = {step: number for number, part in enumerate(parts) for step in part.steps}
    # In running order: parents precede their children.
    parents = [
        {part_of[p] for step in part.steps for p in graph.parents[step]} - {number}
        for number, part in enumerate(parts)
    ]
    return highest_end([part.times for part in parts], parents)


def _sum(parts: Sequence[_Part]) -> float | None:
    """Return the cost of the most expensive run; None if a price is unknown."""
    if any(part.price_usd_hour is None for part in parts):
        return None
    return highest_sum(
        (cases, (part.price_usd_hour or 0.0) * seconds / 3600)
        for part in parts
        for cases, seconds in part.times.items()
    )
