"""The documents and objects that a run's jobs read: plan, job specs, payloads and bundle."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.layout import EVENTS, RunLayout, bundle_key, payload_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.labels import key_label
from flowyml_aws.caching.reuse import Reuse
from flowyml_aws.caching.run_keys import RunKeys, read_keys
from flowyml_aws.core.binding import BoundStep
from flowyml_aws.core.concurrency import map_concurrently
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import MapItem, Step
from flowyml_aws.core.time_spans import seconds_of
from flowyml_aws.packaging.code import RunCode
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.planning.arrays import job_arrays
from flowyml_aws.planning.expansion_facts import ExpansionFacts
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.spec import (
    STORE_WAIT_S,
    AssetSource,
    CodeSource,
    Expanding,
    GatheredAsset,
    JobSpec,
    PackageLayer,
    StepCache,
    StepPart,
    StepSpec,
    StoredObject,
)
from flowyml_aws.submission.expansion import Expansion
from flowyml_aws.submission.origin import RunOrigin, read_origin
from flowyml_aws.submission.packing import (
    StoredPayloads,
    pack_payloads,
    pack_specs,
    spec_index,
)
from flowyml_aws.submission.record import JobArray, ParentRun, RunRecord, SpecPlace
from flowyml_aws.submission.resume import Resumption

__all__ = [
    "RunPackage",
    "SpecFacts",
    "job_specs",
    "placeholder_record",
    "write_package",
    "write_record",
    "write_resumption",
    "write_sub_run",
]


_WRITES_AT_ONCE = 2  # each has a MiB or more in memory


@dataclass(frozen=True, slots=True)
class SpecFacts:
    """Everything that the specs of a run's jobs contain in addition to the plan.

    Attributes:
        code: Code that all jobs share.
        payloads: Pickled steps of each job.
        stored: The payloads as objects of the store.
        external_inputs, layer, store_wait_s, stop_idle_gpu_s, expanding: Same as in `RunPackage`.
    """

    code: CodeSource
    payloads: Mapping[str, StepPayload]
    stored: StoredPayloads
    external_inputs: Mapping[str, ArtifactRef]
    layer: PackageLayer | None = None
    store_wait_s: float = STORE_WAIT_S
    stop_idle_gpu_s: float | None = None
    expanding: Expanding | None = None


@dataclass(frozen=True)
class RunPackage:
    """Everything that a run's jobs need in addition to the plan.

    Attributes:
        code: Code that all jobs share.
        payloads: Pickled steps of each job.
        external_inputs: Refs of the assets that no job of the run produces: external inputs, and
            reused assets of earlier runs.
        layer: Packages that jobs install, or None.
        store_wait_s: Seconds for which jobs wait for a store that does not answer.
        stop_idle_gpu_s: Seconds without use of its GPUs after which a job is stopped, for steps
            without a time of their own; None for never.
        expansion_facts: Facts for the pipelines of dynamic steps; None without such steps.
    """

    code: RunCode
    payloads: Mapping[str, StepPayload]
    external_inputs: Mapping[str, ArtifactRef]
    layer: PackageLayer | None = None
    store_wait_s: float = STORE_WAIT_S
    stop_idle_gpu_s: float | None = None
    expansion_facts: ExpansionFacts | None = None

    @cached_property
    def stored(self) -> StoredPayloads:
        """The payloads as objects of the store."""
        return pack_payloads(self.payloads.values())

    @cached_property
    def stored_facts(self) -> tuple[StoredObject, Content] | None:
        """The facts for the pipelines of dynamic steps, as an object of the store."""
        if self.expansion_facts is None:
            return None
        content = Content(self.expansion_facts.to_json(indent=None))
        key = payload_key(content.sha256)
        place = StoredObject(key=key, sha256=content.sha256, size_bytes=content.size_bytes)
        return place, content

    @property
    def facts(self) -> SpecFacts:
        """Facts for the specs of the jobs."""
        facts = self.stored_facts
        return SpecFacts(
            code=_code_source(self.code),
            payloads=self.payloads,
            stored=self.stored,
            external_inputs=self.external_inputs,
            layer=self.layer,
            store_wait_s=self.store_wait_s,
            stop_idle_gpu_s=self.stop_idle_gpu_s,
            expanding=None if facts is None else Expanding(facts=facts[0]),
        )


def job_specs(
    plan: ExecutionPlan,
    graph: StepGraph,
    package: SpecFacts,
    reuse: Reuse,
    run_id: str,
    store: str,
) -> Iterator[JobSpec]:
    """Yield the specs of the jobs of a plan, in its order."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    positions = {step.name: number for number, step in enumerate(graph.steps)}
    lists = {asset for step in graph.steps for asset in _whole_lists(step)}
    absent = plan.absent
    for job in plan.jobs:
        payload = package.payloads[job.name]
        yield JobSpec(
            store=store,
            run_id=run_id,
            pipeline=plan.pipeline,
            job=job.name,
            python=python,
            layer=package.layer,
            code=package.code,
            payload=package.stored.place(payload.sha256),
            large_values=tuple(package.stored.place(sha256) for sha256, _ in payload.large),
            steps=tuple(
                _step_spec(job, graph.steps[position], graph, reuse, package.stop_idle_gpu_s, lists)
                for position in sorted(positions[name] for name in job.steps)
            ),
            assets={
                asset: AssetSource(
                    job=producer,
                    ref=package.external_inputs.get(asset),
                    absent=absent.get(asset) if producer is None else None,
                )
                for asset, producer in job.reads.items()
            },
            store_wait_s=package.store_wait_s,
            secrets=job.secrets,
            gathered=_gathered(plan, job, graph),
            expanding=None if plan.dynamic.keys().isdisjoint(job.steps) else package.expanding,
        )


def write_package(
    store: ArtifactStore,
    package: RunPackage,
    specs: Iterable[JobSpec],
    keys: RunKeys,
    run_id: str,
    origin: RunOrigin | None = None,
) -> dict[str, SpecPlace]:
    """Write everything that a run's jobs read, and return the place of each job's spec."""
    layout = RunLayout(run_id)
    bundle = package.code.bundle
    contents = {**package.stored.objects, bundle_key(bundle.sha256): Content(bundle.data)}
    if package.stored_facts is not None:
        place, content = package.stored_facts
        contents[place.key] = content
    # Keys are digests: contents that an earlier run uploaded are not uploaded again.
    uploads = (partial(store.upload, key, content) for key, content in contents.items())
    documents: dict[str, Document | None] = {layout.keys: keys, layout.origin: origin}
    writes = (partial(_write, store, *each) for each in documents.items())
    return _write_specs(store, specs, run_id, chain(uploads, writes))


def write_resumption(
    store: ArtifactStore,
    resumption: Resumption,
    run_id: str,
    resumes: str,
    origin: RunOrigin | None = None,
) -> dict[str, SpecPlace]:
    """Write everything that the jobs of a run read that continues an earlier one.

    Payloads and code are stored already. Return the place of each job's spec.
    """
    layout = RunLayout(run_id)
    # Not `put`: only jobs may replace what belongs to attempts.
    writes: Iterable[Callable[[], object]] = (
        partial(store.create, layout.attempt(job, 0, EVENTS), events.to_json())
        for job, events in resumption.events.items()
    )
    documents = {layout.keys: read_keys(store, resumes), layout.origin: origin}
    writes = chain(writes, (partial(_write, store, *each) for each in documents.items()))
    return _write_specs(store, resumption.specs.values(), run_id, writes)


def write_sub_run(
    store: ArtifactStore,
    expansion: Expansion,
    plan: ExecutionPlan,
    record: RunRecord,
    step: str,
    now: float,
) -> None:
    """Write the run of a pipeline that a dynamic step has returned.

    Payloads and values are stored already. All clients write the same documents.

    Args:
        store: Store of the run.
        expansion: The pipeline.
        plan: Its plan, with a cost limit.
        record: Record of the run that contains it.
        step: The dynamic step.
        now: Creation time, in seconds since the epoch.
    """
    layout = RunLayout(expansion.run_id)
    origin = read_origin(store, record.run_id)
    if origin is not None:
        own = {"parameters": expansion.parameters, "items": {}}
        origin = origin.model_copy(update=own)
    documents: dict[str, Document | None] = {layout.keys: expansion.keys, layout.origin: origin}
    writes = (partial(_write, store, *each) for each in documents.items())
    places = _write_specs(store, expansion.specs, expansion.run_id, writes)
    parent = ParentRun(record.run_id, step, expansion.depth)
    write_record(store, plan, places, expansion.run_id, now, parent=parent, client=record.client)


def write_record(
    store: ArtifactStore,
    plan: ExecutionPlan,
    places: Mapping[str, SpecPlace],
    run_id: str,
    now: float,
    resumes: str | None = None,
    parent: ParentRun | None = None,
    client: str | None = None,
) -> RunRecord:
    """Write the plan and the record of a run, after everything that its jobs read.

    The record is written last: a run exists once it has a record.

    Args:
        store: Store of the run.
        plan: Plan of the run.
        places: Place of each job's spec.
        run_id: Id of the run.
        now: Seconds since the epoch.
        resumes: Id of the run that this one continues, or None.
        parent: Run that contains this one, or None.
        client: Host name of the client; None for this machine.
    """
    layout = RunLayout(run_id)
    # Indentation would be a quarter of it: megabytes, if there are many jobs.
    store.put(layout.plan, StoredPlan.of(plan).to_json(indent=None))
    arrays = [(jobs, spec_index(jobs, places)) for jobs in job_arrays(plan)]
    map_concurrently(
        lambda number: store.put(layout.array(number), arrays[number][1]),
        range(len(arrays)),
        limit=_WRITES_AT_ONCE,
    )
    digests = [JobArray(jobs, hashlib.sha256(index).hexdigest()) for jobs, index in arrays]
    record = _record(plan, run_id, now, places, digests).model_copy(
        update={
            "resumes": resumes,
            "parent": parent,
            "client": platform.node() if client is None else client,
        }
    )
    store.put(layout.run, record.to_json())
    return record


def _write(store: ArtifactStore, key: str, document: Document | None) -> None:
    """Write a document, if there is one. Its JSON, which can be large, is made now."""
    if document is not None:
        store.put(key, document.to_json())


def _write_specs(
    store: ArtifactStore,
    specs: Iterable[JobSpec],
    run_id: str,
    others: Iterable[Callable[[], object]],
) -> dict[str, SpecPlace]:
    """Write the specs of a run, together with other writes. Return the place of each job's spec."""
    places: dict[str, SpecPlace] = {}

    def writes() -> Iterator[Callable[[], object]]:
        yield from others
        for pack in pack_specs(specs):  # made in the caller's thread, while other threads write
            places.update(pack.places)
            yield partial(store.put, RunLayout(run_id).specs(pack.number), pack.data)

    map_concurrently(lambda write: write(), writes(), limit=_WRITES_AT_ONCE)
    return places


def placeholder_record(plan: ExecutionPlan, run_id: str) -> RunRecord:
    """Return a record of the run's final size, to check whether its jobs can be submitted."""
    place = SpecPlace(pack=10**4, offset=10**8, size_bytes=10**6, sha256="0" * 64)
    arrays = [JobArray(jobs, place.sha256) for jobs in job_arrays(plan)]
    return _record(plan, run_id, 0.0, {job.name: place for job in plan.jobs}, arrays)


def _record(
    plan: ExecutionPlan,
    run_id: str,
    now: float,
    places: Mapping[str, SpecPlace],
    arrays: Sequence[JobArray],
) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        pipeline=plan.pipeline,
        backend=plan.backend,
        created_at=now,
        client=platform.node(),
        specs=dict(places),
        arrays=tuple(arrays),
    )


def _code_source(code: RunCode) -> CodeSource:
    stored = StoredObject(
        key=bundle_key(code.bundle.sha256),
        sha256=code.bundle.sha256,
        size_bytes=len(code.bundle.data),
    )
    return CodeSource(
        bundle=stored,
        in_place=code.in_place,
        root=str(code.project.root),
        program=code.program,
    )


def _whole_lists(step: Step) -> tuple[str, ...]:
    part = None if step.item is None else step.item.part
    return () if part is None else part.whole_lists


def _step_spec(
    job: PlannedJob,
    step: Step,
    graph: StepGraph,
    reuse: Reuse,
    stop_idle_gpu_s: float | None,
    lists: Collection[str],
) -> StepSpec:
    bound = graph.bound[step.name]
    has_gpus = job.needs.gpu_count > 0
    if step.stop_idle_gpu is not None:
        stop_idle_gpu_s = seconds_of(step.stop_idle_gpu)
    return StepSpec(
        name=step.name,
        reads=graph.reads[step.name],
        arguments=bound.function.arguments,
        condition=None if bound.condition is None else bound.condition.arguments,
        outputs=step.assets,
        stored=tuple(asset for asset in step.assets if asset in job.stored),
        retry=step.retry,
        retry_delay_s=step.retry_delay_s,
        timeout_s=step.timeout_s,
        stop_idle_gpu_s=stop_idle_gpu_s if has_gpus else None,
        nodes=step.nodes,
        distributed=step.distributed,
        branch=step.branch,
        cases=step.cases,
        max_depth=step.max_depth,
        has_gpus=has_gpus,
        cache=_step_cache(step, graph, reuse),
        declared=None if step.item is None else step.declared_name,
        own_names=_own_names(step.declared),
        on_failure=None if step.item is None else step.item.on_failure,
        part=None if step.item is None else _part(step.item),
        lists=tuple(asset for asset in step.assets if asset in lists and step.item is None),
    )


def _own_names(declared: Step) -> dict[str, str]:
    """Return the assets of a step that have other names in its sub-pipeline."""
    if declared.scope is None:
        return {}
    lists = () if declared.mapping is None else declared.mapping.over
    own_names = {asset: declared.scope.own_names[asset] for asset in (*lists, *declared.assets)}
    return {asset: own for asset, own in own_names.items() if asset != own}


def _part(item: MapItem) -> StepPart | None:
    if item.part is None:
        return None
    return StepPart(number=item.index, count=item.part.count, lists=dict(item.part.lists))


def _step_cache(step: Step, graph: StepGraph, reuse: Reuse) -> StepCache | None:
    name = step.name
    if name not in reuse.identities:
        return None
    labels = {asset: key_label(graph, asset, step) for asset in reuse.assets[name]}
    return StepCache(
        identity=reuse.identities[name].digest,
        assets=dict(reuse.assets[name]),
        machine=reuse.machines.get(name, ""),
        ask=name in reuse.deferred,
        labels={asset: label for asset, label in labels.items() if asset != label},
    )


def _gathered(plan: ExecutionPlan, job: PlannedJob, graph: StepGraph) -> dict[str, GatheredAsset]:
    """Return the assets of mapped steps that a job reads as lists."""
    if not graph.gathered:
        return {}
    required = {
        asset: planned.required if planned.on_item_failure == "drop" else 0
        for planned in plan.maps.values()
        for asset in planned.outputs
    }
    taken = {asset for name in job.steps for asset in _taken(graph.bound[name])}
    shares = {
        asset: planned.min_success if planned.on_item_failure == "drop" else None
        for planned in plan.maps.values()
        for asset in planned.outputs
        if planned.parts is not None
    }
    return {
        asset: GatheredAsset(items=graph.gathered[asset], in_parts=True, min_success=shares[asset])
        if asset in shares
        else GatheredAsset(items=graph.gathered[asset], required=required.get(asset, 0))
        for asset in sorted(taken)
        if asset in graph.gathered
    }


def _taken(bound: BoundStep) -> set[str]:
    calls = (bound.function, bound.condition)
    return {asset for call in calls if call is not None for asset in call.arguments.assets}
