"""Making of a plan from step groups: job names, order, instance types, and stored assets."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from flowyml_aws.artifacts.tables import SharedValues
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import FlowymlError, InvalidDataError, InvalidPipelineError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.spot import CAPACITY_LABEL, SpotRule, spot_affinity
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, parallel_steps
from flowyml_aws.planning.advice.auto import ResolvedGroup, resolve_auto
from flowyml_aws.planning.alternatives import Alternatives
from flowyml_aws.planning.approvals import approval_notes, approvals_of, planned_approvals
from flowyml_aws.planning.cost import with_costs
from flowyml_aws.planning.data import PlannedData, data_reads, with_data
from flowyml_aws.planning.durations import Durations, idle_gpu_note, items_of
from flowyml_aws.planning.expansions import expansion_notes, expansions_of
from flowyml_aws.planning.held import common_cases, deciding_steps, held_by, required_cases
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.nodes import idle_node_notes
from flowyml_aws.planning.offers import SelectedOffers, Selector
from flowyml_aws.planning.option_checks import option_notes, option_problems
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.planning.reduction import transitive_reduction
from flowyml_aws.planning.selection import Selection
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import Target

__all__ = ["make_plan"]

_NAME_LENGTH = 100
_OVERHEAD_S = 600  # startup, loading and storing, in addition to the timeouts of the steps


def make_plan(
    pipeline: str,
    placement: Placement,
    graph: StepGraph,
    groups: Sequence[StepGroup],
    targets: Sequence[Target],
    catalog: Catalog,
    history: Sequence[RunTimes] = (),
    keep: Collection[str] = (),
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    spot: SpotRule | None = None,
    data: Mapping[str, PlannedData] = MappingProxyType({}),
) -> ExecutionPlan:
    """Plan a run: one job per group, in running order.

    Args:
        pipeline: Name of the pipeline.
        placement: Backend of each group; targets are not used on this machine.
        graph: Graph of the steps.
        groups: All step groups, in running order.
        targets: Targets that jobs can be sent to.
        catalog: Instance types and prices.
        history: Durations, peaks and sizes of earlier runs, newest first.
        keep: Assets that are always stored.
        environment: Environment variables of all jobs, which those of their steps override.
        secrets: References to secrets for all jobs, which those of their steps override.
        spot: Use of spot capacity for jobs that have no rule of their own.
        data: Folders among the external inputs, by asset.

    Raises:
        InvalidPipelineError: No instance type fits some groups; contains an error for each.
    """
    selectors = {b: Selector(b, targets, catalog) for b in placement.backends}
    backends = [placement.backend_of(group) for group in groups]
    resolved = [
        _resolved(group, history, selectors[backend], spot)
        for group, backend in zip(groups, backends, strict=True)
    ]
    groups = [each.group for each in resolved]
    names = dict(zip((g.group_name for g in groups), _job_names(groups), strict=True))
    job_of = {step.name: names[group.group_name] for group in groups for step in group.steps}
    # Steps with the same parents, or that read the same assets, share a tuple of them.
    jobs_of = {
        each: frozenset(map(job_of.__getitem__, each)) for each in set(graph.parents.values())
    }
    parents = {
        names[group.group_name]: jobs_of[graph.parents[group.steps[0].name]]
        if len(group.steps) == 1
        else frozenset[str]()
        .union(*(jobs_of[graph.parents[step.name]] for step in group.steps))
        .difference([names[group.group_name]])
        for group in groups
    }
    reduced = transitive_reduction(parents)
    sources = {each: _sources(each, graph, job_of) for each in set(graph.reads.values())}
    readers = _only_readers(graph, job_of)
    keep = {*keep, *(asset for gate in graph.gates.values() for asset in gate.inputs)}
    required, deciding = required_cases(graph), deciding_steps(graph)
    dynamic = graph.dynamic
    durations = Durations(history)
    alternatives = Alternatives(targets, catalog)
    jobs: list[PlannedJob] = []
    shared = SharedValues()
    problems: list[FlowymlError] = []
    startable: dict[str, dict[tuple[str, int], InstanceOffer]] = {}
    for each, backend in zip(resolved, backends, strict=True):
        group = each.group
        name = names[group.group_name]
        reads = _reads([sources[graph.reads[step.name]] for step in group.steps], name)
        try:
            folders = data_reads(reads, data, backend)
        except InvalidDataError as error:
            problems.append(_with_group(error, group))
            continue
        declared, data_note = with_data(
            _with_spot(needs_of(group.aggregated_resources), spot), folders.downloaded_bytes
        )
        needs, growth_note = _grown(group, declared, history)
        refused = [_with_group(p, group) for p in option_problems(group, backend, targets)]
        if refused:
            problems += refused
            continue
        own_secrets = {**(secrets or {}), **group.secrets}
        variables = {**(environment or {}), **group.environment}
        selected = selectors[backend].select_for(needs)
        if isinstance(selected, FlowymlError) and needs != declared:
            needs, growth_note = declared, ()  # the larger machine does not exist any more
            selected = selectors[backend].select_for(needs)
        if isinstance(selected, FlowymlError):
            problems.append(_with_group(selected, group))
            continue
        selection = selected.selection
        job = PlannedJob(
            name=name,
            group=group.execution_group,
            steps=tuple(step.name for step in group.steps),
            after=reduced[name],
            needs=needs,
            declared=declared if needs != declared else None,
            backend=backend,
            reads={},
            mounts=folders.mounts,
            produces={step.name: step.assets for step in group.steps},
            stored=tuple(_stored(group, graph, readers, name, keep, selection)),
            environment={n: value for n, value in variables.items() if n not in own_secrets},
            secrets=own_secrets,
            options=group.options,
            timeout_s=_timeout_s(group.steps),
            mapped=tuple(dict.fromkeys(s.declared_name for s in group.steps if s.item is not None)),
            origins=dict(each.origins),
            held=held_by(group, deciding),
            cases=common_cases(group, required),
            approvals=approvals_of(group, graph),
            expansions=expansions_of(group, graph, dynamic),
            branches={s.name: s.branch for s in group.steps if s.branch is not None},
            notes=(
                *data_note,
                *growth_note,
                *option_notes(group, backend),
                *_notes(group, graph, selected, durations),
            ),
            moves={} if selection is None else alternatives.moves_of(backend, needs),
            **selected.placement(backend),
        )
        jobs.append(shared.shared_by(job, reads=reads))
        if selection is not None:
            startable.setdefault(selection.target.name, {}).update(
                ((offer.instance_type, offer.nodes), offer) for offer in selected.startable
            )
    if problems:
        raise InvalidPipelineError(pipeline, problems)
    is_priced = any(service_traits(b).hosted for b in placement.backends)
    plan = ExecutionPlan(
        pipeline=pipeline,
        backend=placement.name,
        backend_origin=placement.origin,
        region=catalog.region if is_priced else None,
        prices_of=catalog.prices_date.isoformat() if is_priced else None,
        jobs=tuple(jobs),
        approvals=planned_approvals(graph, job_of),
        dynamic={s.name: s.max_depth for s in graph.steps if s.max_depth is not None},
        startable={target: tuple(offers.values()) for target, offers in startable.items()},
    )
    offers = {
        backend: lambda needs, selector=selector: selector.offer(_with_spot(needs, spot))
        for backend, selector in selectors.items()
    }
    plan = with_costs(plan, graph, groups, history, offers)
    notes = [*approval_notes(plan, groups, graph), *expansion_notes(plan)]
    plan = plan.model_copy(update={"notes": (*plan.notes, *notes)})
    return alternatives.added_to(plan)


def _resolved(
    group: StepGroup, history: Sequence[RunTimes], selector: Selector, spot: SpotRule | None
) -> ResolvedGroup:
    """Return a group with the amounts of its steps, without a margin if no machine has it."""
    resolved = resolve_auto(group, history)
    needs = _with_spot(needs_of(resolved.group.aggregated_resources), spot)
    if resolved.origins and isinstance(selector.select_for(needs), FlowymlError):
        return resolve_auto(group, history, margin=0.0)
    return resolved


def _grown(
    group: StepGroup, declared: Needs, history: Sequence[RunTimes]
) -> tuple[Needs, tuple[str, ...]]:
    """Return the needs of a job, larger if an earlier run used up the declared ones, and a note."""
    for run in history:
        for step in group.steps:
            growth = run.grown.get(step.declared_name)
            if growth is not None and growth.declared == declared:
                note = f"needs {growth.needed} instead of {declared}, as run {run.run_id} did"
                return growth.needed, (note,)
    return declared, ()


def _with_spot(needs: Needs, spot: SpotRule | None) -> Needs:
    if spot is None or CAPACITY_LABEL in dict((*needs.required, *needs.preferred)):
        return needs
    labels = spot_affinity(spot)
    return replace(
        needs,
        required=tuple(sorted((*needs.required, *labels.required.items()))),
        preferred=tuple(sorted((*needs.preferred, *labels.preferred.items()))),
    )


def _job_names(groups: Sequence[StepGroup]) -> Iterator[str]:
    """Yield names that are safe in paths and URIs, and unique regardless of case."""
    taken: set[str] = set()
    for group in groups:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", group.group_name).strip("-")[:_NAME_LENGTH] or "job"
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        yield name


def _only_readers(graph: StepGraph, job_of: Mapping[str, str]) -> dict[str, str | None]:
    """Return the job that reads each asset, or None if several do. Others are left out."""
    by_reads: dict[tuple[str, ...], str | None] = {}
    for step in graph.steps:
        job, read = job_of[step.name], graph.reads[step.name]
        by_reads[read] = job if by_reads.get(read, job) == job else None
    readers: dict[str, str | None] = {}
    for read, reader in by_reads.items():
        for asset in read:
            readers[asset] = reader if readers.get(asset, reader) == reader else None
    return readers


def _sources(
    assets: Iterable[str], graph: StepGraph, job_of: Mapping[str, str]
) -> dict[str, str | None]:
    """Return the job that produces each asset, or None for an external input."""
    producers = map(graph.producers.get, assets)
    jobs = (None if producer is None else job_of[producer] for producer in producers)
    return dict(zip(assets, jobs, strict=True))


def _reads(sources: Sequence[dict[str, str | None]], name: str) -> dict[str, str | None]:
    """Return the assets from outside a job, with their jobs.

    Args:
        sources: Assets that each of its steps reads, with their jobs.
        name: Name of the job.
    """
    if len(sources) == 1:  # a step does not read its own assets; many jobs share the mapping
        return sources[0]
    return {asset: source for each in sources for asset, source in each.items() if source != name}


def _stored(
    group: StepGroup,
    graph: StepGraph,
    readers: Mapping[str, str | None],
    name: str,
    keep: Collection[str],
    selection: Selection | None,
) -> Iterator[str]:
    """Yield assets that other jobs read, results (no step reads them), and explicitly cached ones.

    On spot capacity every asset is stored, so that the next attempt resumes after an interruption.
    So are those of parts of a map, whose items are identified by their contents, and those that a
    step on several nodes or with torchrun reads, because each of its processes loads them.
    """
    on_spot = selection is not None and selection.target.capacity == "spot"
    in_others = (step for step in group.steps if step.has_other_processes)
    loaded = {asset for step in in_others for asset in graph.reads[step.name]}
    for step in group.steps:
        for asset in step.assets:
            is_part = step.item is not None and step.item.part is not None
            is_read_elsewhere = readers.get(asset) != name
            is_kept = step.cache_explicit or asset in keep or asset in loaded
            if is_part or is_read_elsewhere or is_kept or on_spot:
                yield asset


def _timeout_s(steps: Sequence[Step]) -> int | None:
    limits = [step.timeout_s for step in steps]
    if None in limits:
        return None
    total = sum(
        ((limit or 0) * (step.retry + 1) + 60 * step.retry) * items_of(step)
        for limit, step in zip(limits, steps, strict=True)
    )
    return math.ceil(total) + _OVERHEAD_S


def _notes(
    group: StepGroup, graph: StepGraph, selected: SelectedOffers, durations: Durations
) -> Iterator[str]:
    for step in {step.declared_name: step for step in group.steps}.values():
        yield from step.notes
        if order_only := graph.bound[step.name].order_only:
            names = ", ".join(map(repr, order_only))
            yield f"step {step.name!r} has no parameters: {names} only decides its order"
    pairs = parallel_steps(group, graph)
    if pairs:
        before, after = pairs[0]
        more = f" ({len(pairs)} such pairs)" if len(pairs) > 1 else ""
        yield (
            f"steps {before!r} and {after!r} do not depend on each other and could run in "
            f"parallel, but a group runs its steps one after the other{more}"
        )
    if selected.selection is not None and group.aggregated_resources is None:
        yield "no step requests resources: 1 vCPU and 2 GiB of memory are assumed"
    if selected.selection is not None:
        idle = idle_gpu_note(group, durations, selected.selection.instance_type)
        if idle is not None:
            yield idle
        offer = selected.offers[0]
        yield from idle_node_notes(group, offer.nodes, offer.price_usd_hour)
    yield from selected.notes


def _with_group(error: FlowymlError, group: StepGroup) -> FlowymlError:
    label = "Step" if group.execution_group is None else "Group"
    return type(error)(f"{label} {group.group_name!r}: {error.what}", error.why, error.fix)
