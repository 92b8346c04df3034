"""Plans the pipeline that a dynamic step has returned, in the job of the step.

The code is that of a plan on a client, with the facts that the client of the run has written
(`planning/expansion_facts.py`) instead of settings and an account. Jobs import this module by its
name (`runtime/expanding.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.packs import Member
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.transfer import save_encoded
from flowyml_aws.artifacts.values import EncodedValue
from flowyml_aws.caching.run_keys import make_keys
from flowyml_aws.client.options import RunKeywords
from flowyml_aws.client.preview import PlannedRun, plan_at
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.build import BuiltPipeline
from flowyml_aws.core.environment import merge_environments
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    UnpicklableStepError,
)
from flowyml_aws.core.parameters import missing_arguments
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.images.pins import Pins
from flowyml_aws.packaging.code import payload_of
from flowyml_aws.packaging.decision import Decision
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.planning.alternatives import allowed_moves
from flowyml_aws.planning.history import earlier_lengths
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.code import fetch
from flowyml_aws.runtime.payload import Payload, read_payload
from flowyml_aws.runtime.spec import Expanding, JobSpec, StepSpec
from flowyml_aws.services.facts import FactServices
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.expansion import Expansion, read_facts
from flowyml_aws.submission.history import read_times
from flowyml_aws.submission.origin import parameter_texts
from flowyml_aws.submission.package import SpecFacts, job_specs
from flowyml_aws.submission.packing import StoredPayloads
from flowyml_aws.submission.record import sub_run_id

__all__ = ["expand"]


_CODEC = "payload"


class _Pipeline(Protocol):
    enable_cache: bool

    def request(self, options: RunKeywords) -> RunRequest: ...


def expand(pipeline: _Pipeline, attempt: Attempt, step: StepSpec, payload: Payload) -> bytes:
    """Plan a pipeline, store what its jobs read, and return the document for the driver.

    Args:
        pipeline: The pipeline that the step has returned.
        attempt: Attempt that runs the step.
        step: The dynamic step.
        payload: Payload of the job.

    Raises:
        InvalidPipelineError: With every mistake found; nothing was started.
        UserError: A setting in the pipeline is invalid.
    """
    spec, store = attempt.spec, attempt.store
    assert spec.expanding is not None and step.max_depth is not None
    chain = (*spec.expanding.chain, step.name)
    levels = _levels(step, spec.expanding, chain)
    facts = read_facts(store, spec)
    is_cached = facts.cache and pipeline.enable_cache and not attempt.repetition
    request = pipeline.request(
        {
            "cache": is_cached,
            "checkpoint_steps": facts.stores_all,
            "spot": facts.spot,
            "debug_shell": facts.debug_shell,
        }
    )
    # Without declared outputs, nothing has to have the name of the step.
    is_declared = bool(payload.steps[step.function].outputs)
    required = tuple(step.outputs_by_own_name) if is_declared else ()
    planned, built = _plan(request, FactServices(facts, store), step, required)
    run_id = sub_run_id(spec.run_id, request.name, step.name, attempt.repetition)
    external = planned.graph.external_inputs
    inputs = [v for asset, v in planned.inputs.values.items() if asset in external]
    payloads = _payloads(planned, built, request, spec, store, payload)
    shared = SpecFacts(
        code=spec.code,
        payloads=payloads,
        stored=_stored(store, payloads),
        external_inputs={**planned.reuse.refs, **save_encoded(store, inputs)},
        layer=spec.layer,
        store_wait_s=spec.store_wait_s,
        stop_idle_gpu_s=facts.stop_idle_gpu_s,
        expanding=Expanding(facts=spec.expanding.facts, chain=chain, levels=levels - 1),
    )
    plan = allowed_moves(planned.plan, Limits(facts.max_price_usd_hour))
    keys = make_keys(
        built.graph,
        planned.reuse,
        planned.forced,
        planned.fingerprinter,
        planned.identities.incomplete,
        request.values,
    )
    return Expansion(
        run_id=run_id,
        depth=len(chain),
        outputs={
            asset: own
            for own, asset in step.outputs_by_own_name.items()
            if own in built.declared.producers
        },
        plan=StoredPlan.of(plan),
        specs=tuple(job_specs(plan, planned.graph, shared, planned.reuse, run_id, store.uri)),
        keys=keys,
        parameters=parameter_texts(request.values),
    ).to_json(indent=None)


def _levels(step: StepSpec, expanding: Expanding, chain: tuple[str, ...]) -> int:
    """Return how many pipelines inside one another may exist from here on, at least 1.

    Raises:
        InvalidStepError: None may.
    """
    own = step.max_depth or 0
    levels = own if expanding.levels is None else min(own, expanding.levels)
    if levels >= 1:
        return levels
    raise InvalidStepError(
        what=f"Too many pipelines inside one another: {' → '.join(chain)}",
        why=f"each of these dynamic steps has returned a pipeline, and max_depth of one of them is "
        f"less than {len(chain)}",
        fix="end the recursion: return a value instead of a pipeline, or raise "
        "@dynamic(max_depth=…)",
    )


def _plan(
    request: RunRequest, services: FactServices, step: StepSpec, required: Collection[str]
) -> tuple[PlannedRun, BuiltPipeline]:
    facts = services.facts
    built, problems = request.build()
    if built is None and request.assumes_lengths:
        built, problems = request.build(
            earlier_lengths(read_times(services.earlier_runs, request.name))
        )
    problems += request.problems(built, None)
    if built is None:
        raise InvalidPipelineError(request.name, problems)
    problems += missing_arguments(built.declared, request.values)
    problems += _missing_outputs(built, request, step, required)
    if problems:
        raise InvalidPipelineError(request.name, problems)
    # Variables of the run are overridden by those of the pipeline that the step returns.
    settings = Settings(env=facts.environment, cache_versions=facts.cache_versions)
    pins = Pins(facts.pins, facts.pins_source)
    plan_request = replace(
        request.plan(built, facts.placement, settings, pins),
        secrets={**facts.secrets, **merge_environments(request.secrets)},
        results=frozenset(step.outputs_by_own_name),
    )
    planned = plan_at(services, plan_request)
    if problems := over_limits(planned.plan, Limits(facts.max_price_usd_hour)):
        raise InvalidPipelineError(request.name, problems)
    return planned, built


def _missing_outputs(
    built: BuiltPipeline, request: RunRequest, step: StepSpec, required: Collection[str]
) -> list[FlowymlError]:
    """Return an error for each required output that its pipeline does not have as an asset."""
    assets = built.declared.producers
    lists = {a for s in built.declared.steps if s.mapping is not None for a in s.assets}
    problems: list[FlowymlError] = []
    for name in required:
        if name in lists:
            problems.append(
                InvalidStepError(
                    what=f"Output {name!r} of dynamic step {step.name!r} is the list of a map",
                    why="each item of it is a value of its own",
                    fix=f"add a step to {request.name!r} that reads {name!r} and returns the list",
                )
            )
        elif name not in assets:
            problems.append(
                InvalidStepError(
                    what=f"No step of {request.name!r} produces {name!r}, an output of dynamic "
                    f"step {step.name!r}",
                    why=f"the assets of the pipeline are {', '.join(sorted(assets))}",
                    fix=did_you_mean(
                        name, assets, f"add outputs=[{name!r}] to the step that produces it"
                    ),
                )
            )
    return problems


def _payloads(
    planned: PlannedRun,
    built: BuiltPipeline,
    request: RunRequest,
    spec: JobSpec,
    store: ArtifactStore,
    own: Payload,
) -> dict[str, StepPayload]:
    """Return the payload of each job. It carries what the payload of this job carries."""
    carried = {each.binding: each.value for each in own.values}
    decision = Decision(carried=carried, deleted=frozenset(own.deleted))
    given = read_payload(fetch(store, spec.payload)).given
    problems: list[FlowymlError] = []
    made: dict[str, StepPayload] = {}
    for job, group in zip(planned.plan.jobs, planned.groups, strict=True):
        try:
            made[job.name] = payload_of(group, built.graph, request.values, decision, given)
        except UnpicklableStepError as error:
            problems.append(error)
    if problems:
        raise InvalidPipelineError(request.name, problems)
    return made


def _stored(store: ArtifactStore, payloads: Mapping[str, StepPayload]) -> StoredPayloads:
    """Store payloads as artifacts, the only contents that jobs may write. Return their places."""
    parts = [p for each in payloads.values() for p in ((each.sha256, each.data), *each.large)]
    contents = {sha256: EncodedValue(sha256, _CODEC, Content(data), None) for sha256, data in parts}
    refs = save_encoded(store, contents.values())
    places = {
        sha256: (ref.key, Member(sha256=sha256, offset=ref.offset, size_bytes=ref.size_bytes))
        for sha256, ref in refs.items()
    }
    return StoredPayloads(objects={}, packed=places)
