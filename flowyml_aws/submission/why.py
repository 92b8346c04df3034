"""Why a step of a run ran, or did not have to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.result import StepState, read_result
from flowyml_aws.submission.keys import RunKeys, StepKey, differences, read_keys
from flowyml_aws.submission.record import read_plan, read_record, run_ids
from flowyml_aws.submission.status import RunStatus

__all__ = ["Reason", "explain_step"]

_READERS = 16  # small objects: the time is latency, not bandwidth


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and what stands behind it."""

    text: str
    behind: tuple[Reason, ...] = field(default=())

    def lines(self, indent: str = "") -> Iterator[str]:
        """The sentences, those behind another one indented below it."""
        yield f"{indent}{self.text}"
        for reason in self.behind:
            yield from reason.lines(f"{indent}  ")


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a run that its steps can be compared by."""

    run_id: str
    keys: RunKeys
    contents: Mapping[str, str]  # identities by asset
    producers: Mapping[str, str]

    @classmethod
    def read(cls, store: ArtifactStore, run_id: str, plan: ExecutionPlan, keys: RunKeys) -> _Kept:
        names = [job.name for job in plan.jobs]
        with ThreadPoolExecutor(_READERS) as pool:
            results = pool.map(lambda job: read_result(store, run_id, job), names)
            made = [result.assets for result in results if result is not None]
        made += [step.assets for step in plan.reused.values()]
        produced = {step: one.produces for step, one in plan.reused.items()}
        produced.update((s, assets) for job in plan.jobs for s, assets in job.produces.items())
        return cls(
            run_id=run_id,
            keys=keys,
            contents={asset: ref.identity for assets in made for asset, ref in assets.items()},
            producers={asset: step for step, assets in produced.items() for asset in assets},
        )


def explain_step(store: ArtifactStore, plan: ExecutionPlan, status: RunStatus, step: str) -> Reason:
    """Why a step ran, compared with the run of the pipeline before; or why it did not.

    Args:
        store: Of the run.
        plan: The run's.
        status: How it is.
        step: A step of the plan.

    Raises:
        RunNotFoundError: The run has no such step, or its client left nothing to compare.
    """
    if step not in status.steps:
        raise RunNotFoundError(
            what=f"Run {status.run_id} has no step {step!r}",
            why=f"its steps are {', '.join(status.steps)}",
            fix=did_you_mean(step, status.steps, "name one of them"),
        )
    keys = read_keys(store, status.run_id)
    if keys is None:
        raise RunNotFoundError(
            what=f"Run {status.run_id} left no keys",
            why="what its steps depended on was not kept",
            fix="compare a newer run",
        )
    report = status.steps[step]
    if report.state is StepState.CACHED:
        return Reason(
            f"{step} did not run: {report.reason}",
            (Reason("its code, its context values and its inputs are the same"),),
        )
    told = f"{step} ({report.state.value})"
    if step not in keys.steps:
        return Reason(f"{told}: it runs each time, with cache=False")
    now = _Kept.read(store, status.run_id, plan, keys)
    before = _run_before(store, status, step)
    if before is None:
        return Reason(f"{told}: no earlier run of {plan.pipeline!r} in {store.uri} has this step")
    changed = tuple(_changes(now, before, step, {step}))
    if changed:
        return Reason(f"{told}: since run {before.run_id}", changed)
    if step in keys.forced:
        return Reason(f"{told}: nothing changed, but the run was told to run it (refresh)")
    if keys.forced:
        return Reason(f"{told}: nothing changed, but a step it depends on was refreshed")
    return Reason(
        f"{told}: nothing changed since run {before.run_id}, but what it made was not there: it "
        "had not succeeded, was not stored, or was removed"
    )


def _run_before(store: ArtifactStore, status: RunStatus, step: str) -> _Kept | None:
    """The newest run of the pipeline before this one that has the step."""
    slug = status.run_id.rsplit("-", 3)[0]
    for run_id in run_ids(store):  # the newest first
        if run_id.rsplit("-", 3)[0] != slug or run_id == status.run_id:
            continue
        try:
            record = read_record(store, run_id)
        except RunNotFoundError:
            continue
        if record.pipeline != status.pipeline or record.created_at >= status.created_at:
            continue
        keys = read_keys(store, run_id)
        if keys is not None and step in keys.steps:
            return _Kept.read(store, run_id, read_plan(store, run_id), keys)
    return None


def _changes(now: _Kept, before: _Kept, step: str, told: set[str]) -> Iterator[Reason]:
    """What changed of a step and behind it; of each step in `told` somebody told already."""
    this, last = now.keys.steps[step], before.keys.steps.get(step)
    if last is None:
        yield Reason(f"step {step} is new")
        return
    for difference in differences(this, last):
        yield Reason(difference)
    for asset in sorted(this.assets.keys() & last.assets.keys()):
        if _identity(this, asset, now) == _identity(last, asset, before):
            continue
        producer = now.producers.get(asset)
        if producer is None:
            yield Reason(f"input {asset!r} was given another value")
            continue
        behind: tuple[Reason, ...] = ()
        if producer in now.keys.steps and producer not in told:
            told.add(producer)
            behind = tuple(_changes(now, before, producer, told))
        how = "depends on other things" if this.assets[asset] else "has another content"
        yield Reason(f"input {asset!r}, made by {producer}, {how}", behind)


def _identity(key: StepKey, asset: str, kept: _Kept) -> str | None:
    return key.assets[asset] or kept.contents.get(asset)
