"""Explanations why a step was executed or reused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.labels import AFTER
from flowyml_aws.caching.run_keys import RunKeys, StepKey, differences, read_keys
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.result import StepState, read_result
from flowyml_aws.submission.job_names import approval_hint, declared_in, declared_steps
from flowyml_aws.submission.record import RunRecord, read_plan, read_record, run_ids
from flowyml_aws.submission.status import RunStatus

__all__ = ["Reason", "explain_step"]


_SAME = "its code, its context values and its inputs are the same"


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and the reasons that led to it."""

    text: str
    behind: tuple[Reason, ...] = field(default=())

    def lines(self, indent: str = "") -> Iterator[str]:
        """Yield this sentence, and the reasons that led to it indented below it."""
        yield f"{indent}{self.text}"
        for reason in self.behind:
            yield from reason.lines(f"{indent}  ")


@dataclass(frozen=True, slots=True)
class _RecordedRun:
    """The recorded facts of a run by which its steps can be compared.

    Attributes:
        contents: Identity of each stored asset; of an asset of a mapped step, of its first item.
        producers: Producing step of each asset; of an item, the mapped step.
    """

    run_id: str
    keys: RunKeys
    contents: Mapping[str, str]
    producers: Mapping[str, str]

    @classmethod
    def read(
        cls, store: ArtifactStore, run_id: str, plan: ExecutionPlan, keys: RunKeys
    ) -> _RecordedRun:
        results = map_concurrently(
            lambda job: read_result(store, run_id, job.name, job.repetition),
            plan.jobs,
            limit=STORE_REQUESTS,
        )
        stored = [result.assets for result in results if result is not None]
        stored += [step.assets for step in plan.reused.values()]
        produced = {name: step.produces for name, step in plan.reused.items()}
        produced.update((s, assets) for job in plan.jobs for s, assets in job.produces.items())
        contents = {asset: ref.identity for assets in stored for asset, ref in assets.items()}
        producers = {
            asset: declared_in(plan, step) for step, assets in produced.items() for asset in assets
        }
        for step, planned in plan.maps.items():
            for asset in planned.outputs:  # the recorded keys are those of the first item
                producers[asset] = step
                first = next(iter(planned.members(asset)), asset)
                if (identity := contents.get(first)) is not None:
                    contents[asset] = identity
        return cls(run_id, keys, contents, producers)


def explain_step(store: ArtifactStore, plan: ExecutionPlan, status: RunStatus, step: str) -> Reason:
    """Explain why a step was executed, compared with the previous run, or why it was not.

    Args:
        store: Store of the run.
        plan: Plan of the run.
        status: Status of the run.
        step: Name of a step of the run, an item (`train[3]`) or a mapped step.

    Raises:
        RunNotFoundError: The run has no such step, or no keys were recorded for it.
    """
    reports, progress = status.steps, status.progress
    if step not in reports and step not in progress:
        raise _no_such_step(plan, status.run_id, step)
    if step in progress and not progress[step].items:
        return Reason(f"{step} did not run: its list is empty")
    keys = read_keys(store, status.run_id)
    if keys is None:
        raise RunNotFoundError(
            what=f"Run {status.run_id} has no recorded cache keys",
            why="the dependencies of its steps were not recorded",
            fix="choose a newer run",
        )
    if step in progress and progress[step].states.keys() == {StepState.CACHED}:
        return Reason(
            f"{step} did not run: {progress[step].text}",
            (Reason("its code, its context values and the inputs of all items are the same"),),
        )
    if step in reports and reports[step].state is StepState.CACHED:
        return Reason(f"{step} did not run: {reports[step].reason}", (Reason(_SAME),))
    if step in reports and reports[step].state is StepState.SKIPPED:
        return Reason(f"{step} was skipped: {reports[step].reason}")
    if step in progress:
        headline = f"{step} ({progress[step].text})"
    else:
        headline = f"{step} ({reports[step].state.value})"
    step = declared_in(plan, step)
    if step in progress and progress[step].states.get(StepState.CACHED):
        return Reason(
            headline,
            (Reason("no earlier run has outputs for the inputs of the items that were executed"),),
        )
    if step in keys.incomplete:
        return Reason(headline, _incomplete(keys.incomplete[step]))
    if step not in keys.steps:
        return Reason(f"{headline}: it is executed in every run (cache=False)")
    now = _RecordedRun.read(store, status.run_id, plan, keys)
    before = _run_before(store, status, step)
    if before is None:
        return Reason(
            f"{headline}: no earlier run of {plan.pipeline!r} in {store.uri} has this step"
        )
    changed = tuple(_changes(now, before, step, {step}))
    if changed:
        return Reason(f"{headline}: changes since run {before.run_id}", changed)
    if step in keys.forced:
        return Reason(f"{headline}: nothing changed, but it was forced to run (refresh)")
    if keys.forced:
        return Reason(f"{headline}: nothing changed, but a step it depends on was refreshed")
    return Reason(
        f"{headline}: nothing changed since run {before.run_id}, but its outputs were not "
        "available: the step had not succeeded, or they were not stored or were deleted"
    )


def _no_such_step(plan: ExecutionPlan, run_id: str, step: str) -> RunNotFoundError:
    what, known = f"Run {run_id} has no step {step!r}", declared_steps(plan)
    if step in plan.approvals:
        return RunNotFoundError(what, *approval_hint(step, run_id))
    if inner := [name for name in known if name.startswith(f"{step}/")]:
        why = f"{step!r} is a sub-pipeline with the steps {', '.join(inner)}"
        return RunNotFoundError(what, why, "name one of them")
    fix = did_you_mean(step, known, "use one of these names")
    return RunNotFoundError(what, f"its steps are {', '.join(known)}", fix)


def _run_before(store: ArtifactStore, status: RunStatus, step: str) -> _RecordedRun | None:
    """Return the newest earlier run of the pipeline that contains the step."""
    slug = status.run_id.rsplit("-", 3)[0]
    others = (name for name in run_ids(store) if name.rsplit("-", 3)[0] == slug)
    # Ids have the second of a run, and records its time.
    for _, same_second in groupby(others, key=lambda name: name.rsplit("-", 1)[0]):
        records = [
            record for name in same_second if (record := _record_of(store, name)) is not None
        ]
        for record in sorted(records, key=lambda record: record.created_at, reverse=True):
            if record.pipeline != status.pipeline or record.created_at >= status.created_at:
                continue
            keys = read_keys(store, record.run_id)
            if keys is not None and step in keys.steps:
                plan = read_plan(store, record.run_id)
                return _RecordedRun.read(store, record.run_id, plan, keys)
    return None


def _record_of(store: ArtifactStore, run_id: str) -> RunRecord | None:
    try:
        return read_record(store, run_id)
    except RunNotFoundError:
        return None


def _changes(
    now: _RecordedRun, before: _RecordedRun, step: str, explained: set[str]
) -> Iterator[Reason]:
    """Yield the changes of a step and of its ancestors that are not in `explained` yet."""
    key, old_key = now.keys.steps[step], before.keys.steps.get(step)
    if old_key is None:
        yield Reason(f"step {step} is new")
        return
    for difference in differences(key, old_key):
        yield Reason(difference)
    items: dict[str, list[str]] = {}
    for asset in sorted(key.assets.keys() & old_key.assets.keys()):
        if _identity(key, asset, now) != _identity(old_key, asset, before):
            items.setdefault(declared_name(asset), []).append(asset)
    for asset, *others in items.values():
        awaited = asset.removeprefix(AFTER) if asset.startswith(AFTER) else None
        producer = awaited or now.producers.get(asset)
        of_list = f"{len(others) + 1:,} items of " if others else ""
        name = declared_name(asset) if others else asset
        if producer is None:
            yield Reason(f"{of_list}input {name!r} {'have' if others else 'has'} a different value")
            continue
        causes = _incomplete(now.keys.incomplete.get(producer, ()))
        if producer in now.keys.steps and producer not in explained:
            explained.add(producer)
            causes = tuple(_changes(now, before, producer, explained))
        if awaited is not None:
            yield Reason(f"step {awaited}, which it waits for, changed", causes)
            continue
        changed_part = "dependencies" if key.assets[asset] else "content"
        pronoun = "their" if others else "its"
        yield Reason(
            f"{of_list}input {name!r}, produced by {producer}: {pronoun} {changed_part} changed",
            causes,
        )


def _incomplete(values: Iterable[str]) -> tuple[Reason, ...]:
    """Return the reasons why a step is executed in every run although it could be cached."""
    return tuple(
        Reason(f"it is executed in every run: {value} can't be compared with earlier runs")
        for value in values
    )


def _identity(key: StepKey, asset: str, run: _RecordedRun) -> str | None:
    return key.assets[asset] or run.contents.get(asset)
