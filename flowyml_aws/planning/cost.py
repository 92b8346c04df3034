"""What a run should take, by what earlier runs took: money, time, and other ways to cut it.

A job is expected to take its start-up and the sum of its steps, each the median of earlier runs
on the same instance type, or on any where none was on that one. It costs its price for that time.
Moving assets is not counted.
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
from flowyml_aws.planning.durations import Durations
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.plan import Estimate, ExecutionPlan, InstanceOffer, Variant

__all__ = ["STARTUP_S", "with_costs"]

STARTUP_S: Mapping[str, int] = {"local": 1, "batch": 180, "sagemaker": 240}
"""Assumed seconds from a job's turn to its first step: an instance is started, joins its cluster
and pulls the image, which is paid for. Two to five minutes are usual on EC2; on this machine a
process is started."""

_MOST_BLOCKS = 100  # places where the cheapest split of a group may cut; their pairs are tried

Offers = Callable[[Needs], InstanceOffer | None]


@dataclass(frozen=True, slots=True)
class _Part:
    """Steps in one job, as they could be cut."""

    steps: tuple[str, ...]
    seconds: float
    cost_usd: float | None


def with_costs(
    plan: ExecutionPlan,
    graph: StepGraph,
    groups: Sequence[StepGroup],
    history: Sequence[RunTimes],
    offers: Mapping[str, Offers],
) -> ExecutionPlan:
    """The plan with what is expected of each job and of the whole run.

    Args:
        plan: Its jobs belong to the groups, in the same order.
        graph: The steps.
        groups: All of them.
        history: Earlier runs, the newest first; without any the plan stays as it is.
        offers: Backend → the best offer there for other needs than the plan's, or None where
            nothing serves.
    """
    if not history or not plan.jobs:
        return plan
    durations = Durations(history)
    at = {b: _Costing(STARTUP_S[b], durations, offer) for b, offer in offers.items()}
    costings = [at[job.backend] for job in plan.jobs]
    parts = [
        costing.part(job.steps, job.offers[0] if job.offers else None)
        for costing, job in zip(costings, plan.jobs, strict=True)
    ]
    jobs = tuple(
        job
        if part is None
        else job.model_copy(update={"expected_s": part.seconds, "expected_cost_usd": part.cost_usd})
        for job, part in zip(plan.jobs, parts, strict=True)
    )
    unknown = tuple(s for job in plan.jobs for s in job.steps if durations.of(s, None) is None)
    known = [part for part in parts if part is not None]
    whole = len(known) == len(parts)
    variants: list[Variant] = []
    if whole and plan.backend != "local":
        variants = list(_variants(costings, graph, groups, known))
    assets = {asset for job in plan.jobs for of in job.produces.values() for asset in of}
    sizes: dict[str, int] = {}
    for run in reversed(history):  # the newest last, so that it counts
        sizes.update((a, size) for a, size in run.asset_bytes.items() if a in assets)
    estimate = Estimate(
        runs=len(history),
        startup_s=max(costing.startup_s for costing in costings),
        cost_usd=_sum(known) if whole else None,
        wall_s=_wall_s(known, graph) if whole else None,
        unknown=unknown,
        variants=tuple(variants),
    )
    elsewhere = [
        step
        for job in plan.jobs
        for step in job.steps
        if durations.measured_elsewhere(step, job.instance_type)
    ]
    notes = plan.notes
    if elsewhere:
        more = f" and {len(elsewhere) - 3} more" if len(elsewhere) > 3 else ""
        names = ", ".join(map(repr, elsewhere[:3]))
        notes += (f"expected times of {names}{more} were measured on other instance types",)
    return plan.model_copy(
        update={"jobs": jobs, "estimate": estimate, "asset_bytes": sizes, "notes": notes}
    )


class _Costing:
    """What steps take in one job; offers and durations are looked up once."""

    def __init__(self, startup_s: int, durations: Durations, offer: Offers) -> None:
        self.startup_s = startup_s
        self._durations = durations
        self._offer = offer
        self._offers: dict[frozenset[Needs], InstanceOffer | None] = {}
        self._seconds: dict[tuple[str, str | None], float | None] = {}

    def part(self, steps: Sequence[str], offer: InstanceOffer | None) -> _Part | None:
        """What steps in one job would take, or None where one of them has never run."""
        instance_type = offer.instance_type if offer else None
        seconds = float(self.startup_s)
        for step in steps:
            took = self.seconds(step, instance_type)
            if took is None:
                return None
            seconds += took
        price = offer.price_usd_hour if offer else None
        return _Part(tuple(steps), seconds, None if price is None else price * seconds / 3600)

    def seconds(self, step: str, instance_type: str | None) -> float | None:
        """Expected seconds of a step, or None if it has never run."""
        key = step, instance_type
        if key not in self._seconds:
            self._seconds[key] = self._durations.of(step, instance_type)
        return self._seconds[key]

    def offer(self, resources: Mapping[Needs, ResourceRequirements | None]) -> InstanceOffer | None:
        """The best offer for steps with these needs together, or None where nothing serves them."""
        # Merging is idempotent, commutative and associative: only which needs there are counts.
        key = frozenset(resources)
        if key not in self._offers:
            merged = merge_resources(asked for asked in resources.values() if asked is not None)
            self._offers[key] = self._offer(needs_of(merged))
        return self._offers[key]


def _variants(
    costings: Sequence[_Costing],
    graph: StepGraph,
    groups: Sequence[StepGroup],
    grouped: Sequence[_Part],
) -> Iterator[Variant]:
    yield _variant("as grouped", graph, grouped)
    steps = [(c, s) for c, group in zip(costings, groups, strict=True) for s in group.steps]
    if len(steps) > len(grouped):
        alone = [_alone(costing, step) for costing, step in steps]
        served = [part for part in alone if part is not None]
        if len(served) == len(alone):
            yield _variant("each step alone", graph, served)
        cut = [
            _cheapest_cut(costing, group, part)
            for costing, group, part in zip(costings, groups, grouped, strict=True)
        ]
        cuts = {
            group.group_name: tuple(part.steps for part in parts)
            for group, parts in zip(groups, cut, strict=True)
            if len(parts) > 1
        }
        yield _variant("cheapest split", graph, [p for parts in cut for p in parts], cuts)


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
    asked = step.requirements()
    offer = costing.offer({needs_of(asked): asked})
    return None if offer is None else costing.part([step.name], offer)


def _cheapest_cut(costing: _Costing, group: StepGroup, whole: _Part) -> list[_Part]:
    """The consecutive parts of a group that cost least together; itself where none cost less."""
    blocks = _blocks(group.steps)
    if whole.cost_usd is None or not 1 < len(blocks) <= _MOST_BLOCKS:
        return [whole]
    # before[n]: the least cost of the first n blocks, and where the last part of them starts.
    before: list[tuple[float, int]] = [(0.0, 0)]
    before += [(math.inf, 0)] * len(blocks)
    took: dict[str | None, list[float]] = {}  # by instance type: seconds before each block
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
            if offer.instance_type not in took:
                took[offer.instance_type] = _sums(costing, blocks, offer.instance_type)
            sums = took[offer.instance_type]
            seconds = costing.startup_s + sums[end] - sums[start]
            cost = before[start][0] + offer.price_usd_hour * seconds / 3600
            if cost < before[end][0]:
                before[end] = (cost, start)
    if before[-1][0] >= whole.cost_usd * (1 - 1e-9):  # sums of floats differ by their order
        return [whole]
    parts: list[_Part] = []
    end = len(blocks)
    while end:
        start = before[end][1]
        names = [step.name for _, run in blocks[start:end] for step in run]
        offer = costing.offer({needs: run[0].requirements() for needs, run in blocks[start:end]})
        part = costing.part(names, offer)
        assert part is not None  # every step has run, or there was no whole
        parts.insert(0, part)
        end = start
    return parts


def _blocks(steps: Sequence[Step]) -> list[tuple[Needs, tuple[Step, ...]]]:
    """What is not cut: each step, or in a long group the steps in a row with equal needs.

    Equal neighbours are only worth a cut where one is faster on the left part's instance type and
    the other on the right part's.
    """
    needs = [needs_of(step.requirements()) for step in steps]
    if len(steps) <= _MOST_BLOCKS:
        return [(asked, (step,)) for asked, step in zip(needs, steps, strict=True)]
    rows = groupby(zip(needs, steps, strict=True), key=itemgetter(0))
    return [(asked, tuple(step for _, step in row)) for asked, row in rows]


def _sums(
    costing: _Costing, blocks: Sequence[tuple[Needs, tuple[Step, ...]]], instance_type: str
) -> list[float]:
    """The seconds of all blocks before each one, and at last of all."""
    sums = [0.0]
    for _, steps in blocks:
        sums.append(sums[-1] + sum(costing.seconds(s.name, instance_type) or 0 for s in steps))
    return sums


def _wall_s(parts: Sequence[_Part], graph: StepGraph) -> float:
    """The longest way through the parts, each after those whose assets it reads."""
    at = {step: number for number, part in enumerate(parts) for step in part.steps}
    ends: list[float] = []
    for number, part in enumerate(parts):  # in running order: parents are before their children
        before = {at[p] for step in part.steps for p in graph.parents[step]} - {number}
        ends.append(max((ends[parent] for parent in before), default=0.0) + part.seconds)
    return max(ends, default=0.0)


def _sum(parts: Sequence[_Part]) -> float | None:
    costs = [part.cost_usd for part in parts]
    return None if None in costs else sum(cost for cost in costs if cost is not None)
