"""From groups to the plan: names, order, instance types, and what must be stored."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, parallel_steps
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.cost import with_costs
from flowyml_aws.planning.durations import Durations, idle_gpu_note
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.placement import LOCAL, SAGEMAKER, Placement
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.planning.selection import Selection, select
from flowyml_aws.planning.targets import Candidate, Target, offline_targets

__all__ = ["make_plan"]

_NAME_LENGTH = 100
_LEAST_VOLUME_GIB = 30  # for the image, the code and temporary files; as the SDK asks for
_OVERHEAD_S = 600  # for starting, loading and storing, on top of the steps' own limits


def make_plan(
    pipeline: str,
    placement: Placement,
    graph: StepGraph,
    groups: Sequence[StepGroup],
    targets: Sequence[Target],
    catalog: Catalog,
    history: Sequence[RunTimes] = (),
    keep: Collection[str] = (),
) -> ExecutionPlan:
    """Decide the whole run: one job per group, in running order.

    Args:
        pipeline: Its name.
        placement: Which backend each group goes to; on this machine targets are not used.
        graph: The steps.
        groups: All of them, in running order.
        targets: Where jobs can go.
        catalog: Instance types and prices.
        history: What earlier runs took, the newest first.
        keep: Assets that are stored in any case.

    Raises:
        InvalidPipelineError: With an error for each group that nothing serves.
    """
    names = dict(zip((g.group_name for g in groups), _job_names(groups), strict=True))
    job_of = {step.name: names[group.group_name] for group in groups for step in group.steps}
    parents = {
        names[group.group_name]: {
            job_of[parent]
            for step in group.steps
            for parent in graph.parents[step.name]
            if job_of[parent] != names[group.group_name]
        }
        for group in groups
    }
    reduced = transitive_reduction(parents)
    selectors = {b: _Selector(b, targets, catalog) for b in placement.backends}
    where = [placement.backend_of(group) for group in groups]
    readers = _readers(graph, job_of)
    durations = Durations(history)
    jobs: list[PlannedJob] = []
    problems: list[FlowymlError] = []
    for group, backend in zip(groups, where, strict=True):
        name = names[group.group_name]
        needs = needs_of(group.aggregated_resources)
        decision = selectors[backend].decide(needs)
        if isinstance(decision, FlowymlError):
            problems.append(_located(decision, group))
            continue
        choice = decision.choice
        jobs.append(
            PlannedJob(
                name=name,
                group=group.execution_group,
                steps=tuple(step.name for step in group.steps),
                after=reduced[name],
                needs=needs,
                backend=backend,
                target=choice.target.name if choice else LOCAL,
                capacity=choice.target.capacity if choice else "on-demand",
                offers=decision.offers,
                reads=_reads(group, graph, job_of, name),
                produces={step.name: step.assets for step in group.steps},
                stored=tuple(_stored(group, readers, name, keep, choice)),
                volume_gib=_volume_gib(choice),
                timeout_s=_timeout_s(group.steps),
                notes=tuple(_notes(group, graph, decision, durations)),
            )
        )
    if problems:
        raise InvalidPipelineError(pipeline, problems)
    is_local = placement.name == LOCAL
    plan = ExecutionPlan(
        pipeline=pipeline,
        backend=placement.name,
        region=None if is_local else catalog.region,
        prices_of=None if is_local else catalog.prices_date.isoformat(),
        jobs=tuple(jobs),
    )
    offers = {backend: selector.offer for backend, selector in selectors.items()}
    return with_costs(plan, graph, groups, history, offers)


def transitive_reduction(parents: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The least parents with the same ancestors; nodes are given in topological order."""
    at = {name: position for position, name in enumerate(parents)}
    ancestors: list[int] = []  # a bit per node
    reduced = {}
    for name, of in parents.items():
        # The latest first: whatever an earlier parent leads to, a later one may lead to as well.
        covered, kept = 0, []
        for position in sorted((at[parent] for parent in of), reverse=True):
            if not covered >> position & 1:
                kept.append(position)
                covered |= ancestors[position] | 1 << position
        ancestors.append(covered)
        reduced[name] = kept
    order = list(parents)
    return {name: tuple(order[p] for p in reversed(kept)) for name, kept in reduced.items()}


@dataclass(frozen=True, slots=True)
class _Decision:
    """What a plan says of all jobs with the same needs; no choice on this machine."""

    choice: Selection | None
    offers: tuple[InstanceOffer, ...] = ()
    notes: tuple[str, ...] = ()


class _Selector:
    """Selection for one backend; groups with equal needs are decided once."""

    def __init__(self, backend: str, targets: Sequence[Target], catalog: Catalog) -> None:
        self._local = backend == LOCAL
        own = [target for target in targets if target.kind == backend]
        self._targets = offline_targets(catalog) if self._local else own
        self._catalog = catalog
        self._known: dict[Needs, _Decision | FlowymlError] = {}

    def decide(self, needs: Needs) -> _Decision | FlowymlError:
        """The decision, or why nothing serves; on this machine, why nothing in all AWS would."""
        if needs not in self._known:
            self._known[needs] = self._decide(needs)
        return self._known[needs]

    def offer(self, needs: Needs) -> InstanceOffer | None:
        """The best offer, or None where nothing serves."""
        decision = self.decide(needs)
        return None if isinstance(decision, FlowymlError) else decision.offers[0]

    def _decide(self, needs: Needs) -> _Decision | FlowymlError:
        try:
            if self._local:
                anywhere = replace(needs, required=(), preferred=(), tolerations=())
                select(anywhere, self._targets, self._catalog)
                return _Decision(None)
            choice = select(needs, self._targets, self._catalog)
        except FlowymlError as error:
            return error
        return _Decision(
            choice=choice,
            offers=tuple(map(_offer, (choice.best, *choice.fallbacks))),
            notes=(*choice.notes, *map(str, choice.near_misses())),
        )


def _job_names(groups: Sequence[StepGroup]) -> Iterator[str]:
    """Names that are safe in paths and URIs, unique regardless of case."""
    taken: set[str] = set()
    for group in groups:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", group.group_name).strip("-")[:_NAME_LENGTH] or "job"
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        yield name


def _readers(graph: StepGraph, job_of: Mapping[str, str]) -> dict[str, set[str]]:
    readers: dict[str, set[str]] = {}
    for step in graph.steps:
        for asset in graph.reads[step.name]:
            readers.setdefault(asset, set()).add(job_of[step.name])
    return readers


def _reads(
    group: StepGroup, graph: StepGraph, job_of: Mapping[str, str], name: str
) -> dict[str, str | None]:
    sources: dict[str, str | None] = {}
    for step in group.steps:
        for asset in graph.reads[step.name]:
            producer = graph.producers.get(asset)
            source = job_of[producer] if producer is not None else None
            if source != name:
                sources[asset] = source
    return sources


def _stored(
    group: StepGroup,
    readers: Mapping[str, set[str]],
    name: str,
    keep: Collection[str],
    choice: Selection | None,
) -> Iterator[str]:
    """What another job reads, what nobody reads (the results), and what an explicit cache keeps.

    On spot capacity everything, so that an attempt goes on where the one before it was.
    """
    on_spot = choice is not None and choice.target.capacity == "spot"
    for step in group.steps:
        for asset in step.assets:
            leaves = readers.get(asset, set()) != {name}
            if leaves or step.cache_explicit or asset in keep or on_spot:
                yield asset


def _volume_gib(choice: Selection | None) -> int | None:
    if choice is None or choice.target.kind != SAGEMAKER or choice.instance.nvme_gb:
        return None  # on Batch the compute environment has its disks
    return max(_LEAST_VOLUME_GIB, choice.question.needs.storage_gib)


def _timeout_s(steps: Sequence[Step]) -> int | None:
    limits = [step.timeout_s for step in steps]
    if None in limits:
        return None
    total = sum(
        (limit or 0) * (step.retry + 1) + 60 * step.retry
        for limit, step in zip(limits, steps, strict=True)
    )
    return math.ceil(total) + _OVERHEAD_S


def _offer(candidate: Candidate) -> InstanceOffer:
    return InstanceOffer(
        instance_type=candidate.name,
        price_usd_hour=candidate.price_usd_hour,
        price_basis=candidate.price_basis,
    )


def _notes(
    group: StepGroup, graph: StepGraph, decision: _Decision, durations: Durations
) -> Iterator[str]:
    pairs = parallel_steps(group, graph)
    if pairs:
        before, after = pairs[0]
        more = f" ({len(pairs)} such pairs)" if len(pairs) > 1 else ""
        yield (
            f"steps {before!r} and {after!r} do not wait for each other and could run in "
            f"parallel: a group runs its steps one after the other{more}"
        )
    if decision.choice is not None and group.aggregated_resources is None:
        yield "no step names resources: 1 vCPU and 2 GiB of memory are assumed"
    if decision.choice is not None:
        idle = idle_gpu_note(group, durations, decision.choice.instance_type)
        if idle is not None:
            yield idle
    yield from decision.notes


def _located(error: FlowymlError, group: StepGroup) -> FlowymlError:
    kind = "Step" if group.execution_group is None else "Group"
    return type(error)(f"{kind} {group.group_name!r}: {error.what}", error.why, error.fix)
