"""A step of a run, executed again in this process, without a trace in the run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.parts import outputs_of_part
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport, StepState, cases_of
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import AssetSource, JobSpec, StepSpec

__all__ = ["Replayed", "assets_read", "recorded_sources", "replay_step", "spec_of_replay"]

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay.

    Attributes:
        report: Report of the step.
        before: Steps of its job that were executed before it, because their values are not stored.
        outputs: Values of its outputs; empty unless it succeeded, and for a dynamic step that has
            returned a pipeline, which is not run.
        refs: Refs of the outputs whose values the run stores.
        error: Exception of the step, or of a step before it, with its traceback; None without one.
    """

    report: StepReport
    before: tuple[str, ...]
    outputs: Mapping[str, Any]
    refs: Mapping[str, ArtifactRef]
    error: BaseException | None


def recorded_sources(record: JobResult | AttemptEvents | None) -> dict[str, AssetSource]:
    """Return the sources of the assets that an attempt of a job has recorded.

    Args:
        record: Result of the job, or the events of an attempt without a result; None if there is
            neither.
    """
    if record is None:
        return {}
    cases = cases_of(record.steps)
    partial = record.partial if isinstance(record, JobResult) else ()
    sources = {
        asset: AssetSource(ref=ref, case=cases.get(asset), is_partial=asset in partial)
        for asset, ref in record.assets.items()
    }
    if isinstance(record, JobResult):
        sources.update((asset, AssetSource(absent=why)) for asset, why in record.skipped.items())
        sources.update((asset, AssetSource(dropped=why)) for asset, why in record.dropped.items())
    return sources


def spec_of_replay(spec: JobSpec, step: str, recorded: Mapping[str, AssetSource]) -> JobSpec:
    """Return the spec of a job with one step, and with those before it that it cannot do without.

    They are the steps whose values it reads and that are not recorded. They run once, without
    timeouts and without the cache.

    Args:
        spec: Spec of the job of the step, with the items of its parts.
        step: Name of the step.
        recorded: Sources of the assets that the job has recorded.
    """
    by_name = {each.name: each for each in spec.steps}
    producers = {asset: each.name for each in spec.steps for asset in each.outputs}
    needed: set[str] = set()
    waiting = [step]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        read = assets_read(spec, by_name[name])
        missing = (asset for asset in read if asset not in recorded and asset in producers)
        waiting += (producers[asset] for asset in missing)
    repeated = {asset for asset, name in producers.items() if name in needed}
    known = {asset: source for asset, source in recorded.items() if asset not in repeated}
    steps = tuple(_once(each) for each in spec.steps if each.name in needed)
    return spec.model_copy(update={"steps": steps, "assets": {**spec.assets, **known}})


def assets_read(spec: JobSpec, step: StepSpec) -> list[str]:
    """Return the assets that a step reads, with those of the items of lists.

    Args:
        spec: Spec of its job.
        step: The step. A part reads the outputs of its items.
    """
    read = list(step.reads)
    if step.part is not None:
        for position in step.part.positions or ():
            read += outputs_of_part(step, position).values()
    gathered = (spec.gathered[asset].items for asset in step.reads if asset in spec.gathered)
    return [*read, *(item for items in gathered for item in items)]


def replay_step(
    attempt: Attempt,
    payload: Payload,
    roots: Sequence[Path],
    scratch: Path,
    around: Callable[[Function], Function] = lambda function: function,
) -> Replayed:
    """Run the last step of a spec, and the steps before it.

    Args:
        attempt: Attempt with a spec of `spec_of_replay`, and a store that may be written.
        payload: Steps of the job.
        roots: The project's folders; stripped from tracebacks.
        scratch: Folder for values that are files.
        around: Returns the function that replaces that of the step, such as one in a debugger.

    Raises:
        FlowymlError: A value is missing or damaged.
    """
    *before, last = attempt.spec.steps
    calls: dict[str, _Watched] = {}
    steps: dict[str, Step] = {}
    for spec in attempt.spec.steps:
        if spec.part is not None:
            continue
        step = payload.steps[spec.function]
        function = around(step.func) if spec is last else step.func
        calls[spec.name] = _Watched(function)
        # An item has the function of its map: each gets a name of its own in the mapping.
        steps[spec.name] = replace(step, func=calls[spec.name])
    named = [each.model_copy(update={"declared": None}) for each in attempt.spec.steps]
    attempt = attempt.with_spec(attempt.spec.model_copy(update={"steps": tuple(named)}))
    runner = JobRunner(
        attempt, steps, payload.context, roots, scratch, Interruption(), expander=_NoExpander()
    )
    runner.run()
    report = attempt.progress[last.name]
    has_outputs = report.state is StepState.SUCCEEDED and report.expansion is None
    values = steps[last.name].split_outputs(calls[last.name].returned) if has_outputs else {}
    return Replayed(
        report=report,
        before=tuple(each.name for each in before),
        outputs=dict(zip(last.outputs, values.values(), strict=True)) if has_outputs else {},
        refs={asset: attempt.assets[asset] for asset in last.stored} if has_outputs else {},
        error=next((call.error for call in calls.values() if call.error is not None), None),
    )


class _NoExpander:
    """Takes the pipeline that a dynamic step returns, and does nothing with it."""

    def expand(self, step: StepSpec, pipeline: Any) -> str:
        return ""


def _once(step: StepSpec) -> StepSpec:
    return step.model_copy(
        update={
            "retry": 0,
            "timeout_s": None,
            "stop_idle_gpu_s": None,
            "has_gpus": False,
            "cache": None,
        }
    )


@dataclass
class _Watched:
    """The function of a step, which keeps what it returns or raises."""

    function: Function
    returned: Any = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.function)  # for the defaults of its parameters

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            returned = self.function(*args, **kwargs)
        except BaseException as error:  # the user's code may raise anything
            self.error = error
            raise
        if inspect.isawaitable(returned):
            return self._awaited(returned)
        self.returned = returned
        return returned

    async def _awaited(self, returned: Awaitable[Any]) -> Any:
        try:
            self.returned = await returned
        except BaseException as error:
            self.error = error
            raise
        return self.returned
