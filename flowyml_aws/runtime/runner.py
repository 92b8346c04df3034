"""Runs the steps of one job in order, in this process."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flowyml_aws.artifacts.fetching import may_run_code
from flowyml_aws.artifacts.lazy.handle import Lazy
from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.artifacts.transfer import save_encoded, save_items, save_values
from flowyml_aws.artifacts.values import EncodedValue, encode_value
from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.entries import (
    CacheEntry,
    is_stored,
    keep_entry,
    one_of_each_object,
    python_version,
    read_entry,
    write_entry,
)
from flowyml_aws.core import clock
from flowyml_aws.core.errors import (
    AwsRefusedError,
    AwsUnavailableError,
    FlowymlError,
    JobError,
    UserError,
)
from flowyml_aws.core.event_loop import EventLoop
from flowyml_aws.core.maps import drop_cause
from flowyml_aws.core.skipped import Skipped
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_log import recording
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import STEP_FAILED
from flowyml_aws.runtime.expanding import Expands, Returned, is_pipeline
from flowyml_aws.runtime.failures import describe_step_failure, kind_of, text_of
from flowyml_aws.runtime.forks import call_in_this_process
from flowyml_aws.runtime.idle_gpus import GpuWatch, idle_failure, idle_text
from flowyml_aws.runtime.inputs import JobInputs
from flowyml_aws.runtime.interruption import Interrupted, Interruption
from flowyml_aws.runtime.job_values import READ_ONLY_ADVICE, JobValues
from flowyml_aws.runtime.log import reporting, say, show
from flowyml_aws.runtime.out_of_memory import oom_kills
from flowyml_aws.runtime.parts import check_list, outputs_of_part
from flowyml_aws.runtime.result import GpuIdle, StepFailure, StepState
from flowyml_aws.runtime.resume import done_before
from flowyml_aws.runtime.skips import Skip, skip_of
from flowyml_aws.runtime.spec import StepPart, StepSpec
from flowyml_aws.runtime.step_calls import StepCall, StepCalls, StepError
from flowyml_aws.runtime.time_limit import GRACE_S, call_within
from flowyml_aws.runtime.usage import PhaseKind

__all__ = ["JobRunner", "NodeCalls"]

_LONGEST_DELAY_S = 60.0
_NOT_STORED = "its outputs are not stored"


class NodeCalls(Protocol):
    """The nodes of the job, which call functions together."""

    def calling(
        self,
        spec: StepSpec,
        attempt: Attempt,
        must_stop: bool,
        on_stuck: Callable[[BaseException], None],
    ) -> AbstractContextManager[Callable[[Callable[[], Any]], Any]]:
        """Yield a function that calls a function together with those of the other nodes."""


@dataclass(slots=True)
class JobRunner:
    """Runs the steps of one attempt, and records stored and skipped assets in the attempt.

    Attributes:
        attempt: Attempt to run and to report to.
        steps: Steps of the payload, by name.
        context: Context values by name.
        roots: The project's folders, in the job and on the client; stripped from tracebacks.
        scratch: Folder for assets that are files.
        interruption: Stop request of the platform.
        sleep: Sleep function, used before a retry.
        grace_s: Seconds that a step has to stop after its timeout, before the process is ended.
        nodes: Nodes of the job; None if the runner alone calls its functions.
        expander: Plans the pipelines that dynamic steps return; None if the job has none.
    """

    attempt: Attempt
    steps: Mapping[str, Step]
    context: Mapping[str, Any]
    roots: Sequence[Path]
    scratch: Path
    interruption: Interruption
    sleep: Callable[[float], None] = clock.sleep
    grace_s: float = GRACE_S
    nodes: NodeCalls | None = None
    expander: Expands | None = None
    _assets: JobValues = field(init=False)
    _context: JobValues = field(init=False)
    _calls: dict[str, StepCalls] = field(init=False)
    _stored: JobInputs = field(init=False)
    _lists: dict[str, ListIndex] = field(default_factory=dict)
    _has_failed: bool = False
    _kills: int | None = None
    _step: str | None = None

    def __post_init__(self) -> None:
        self._calls = {
            spec.name: StepCalls.of(self.steps[spec.function], spec)
            for spec in self.attempt.spec.steps
            if spec.part is None
        }
        self._stored = JobInputs(self.attempt, self.scratch)
        calls = [call for step in self._calls.values() for call in step.in_order]
        self._assets = JobValues(
            "asset", [c.assets for c in calls], self._stored.is_stored, self._load
        )
        self._context = JobValues("context", [c.context for c in calls])

    def run(self) -> bool:
        """Run the steps. Return False if a step failed; after an item, the others may run.

        Raises:
            Interrupted: The job was asked to stop.
            AwsUnavailableError: The store did not answer for too long.
            Exception: The job failed, but no step did: an asset is missing or damaged, or the
                store denied a call.
        """
        try:
            has_succeeded = self._run_steps()
            self.attempt.outputs.flush()
        except AwsUnavailableError:
            raise  # the store would not answer again
        except BaseException:
            self._flush_last()
            raise
        finally:
            self.attempt.log.close()
        return has_succeeded

    def _flush_last(self) -> None:
        """Store the outputs of the items that have ended, before the job ends for another cause."""
        with reporting("can't store the outputs of the last items"):
            self.attempt.outputs.flush()

    def _run_steps(self) -> bool:
        self._context.add(dict(self.context), are_kept=True)
        self._resume()
        for spec in self.attempt.spec.steps:
            if self.attempt.progress[spec.name].state is not StepState.WAITING:
                continue
            self.interruption.check()
            try:
                if not self._run_step(spec):
                    if spec.on_failure in (None, "stop"):
                        return False
                    self._has_failed |= spec.on_failure == "finish"
            except AwsUnavailableError:
                raise  # the step has not failed
            except Exception as error:
                self._end(spec, StepState.FAILED, reason=f"the job failed: {text_of(error)}")
                raise
            if spec.part is None:
                for call in self._calls[spec.name].in_order:
                    self._assets.drop(call.assets)
                    self._context.drop(call.context)
        return not self._has_failed

    def _resume(self) -> None:
        """Take over the steps that earlier attempts completed."""
        done, assets = done_before(self.attempt.spec.steps, self.attempt.earlier_events())
        self.attempt.assets.update(assets)
        for spec in self.attempt.spec.steps:
            if spec.name in done:
                report = done[spec.name]
                if report.state is StepState.SKIPPED:
                    self._mark_skipped(spec, Skip.reported(spec.name, report.reason))
                self._mark_partial(spec)
                self.attempt.progress.take(report)
                say(f"{spec.name}: {report.state.value} in an earlier attempt or run")
        if any(report.state is StepState.SUCCEEDED for report in done.values()):
            with reporting("can't read the values that earlier attempts have logged"):
                logged = self.attempt.earlier_logged()
                self.attempt.log.take({name: logged[name] for name in done if name in logged})

    def _run_step(self, spec: StepSpec) -> bool:
        """Run one step. Return False if it failed."""
        self.attempt.progress.update(spec.name, started_at=time.time(), state=StepState.RUNNING)
        self._kills, self._step = oom_kills(), spec.name
        if spec.part is not None:
            self._end_part(spec, spec.part)
            return True
        if spec.is_item and (cause := self._stored.dropped_item(spec.reads)) is not None:
            self._drop(spec, cause)
            self._end(spec, StepState.NOT_RUN, reason=cause)
            return True
        if (skip := self._skip_of(spec)) is not None:
            self._skip(spec, skip)
            return True
        key = self._cache_key(spec)
        if key is not None and self._use_cache_entry(key, spec):
            return True
        self._mark_partial(spec)
        try:
            for call in self._calls[spec.name].in_order:
                self._stored.check_lists(call.assets.reader, call.assets.reads)
            with EventLoop() as loop:
                if not self._condition_holds(spec, loop):
                    self._skip(spec, Skip.by_condition(spec.name))
                    return True
                say(f"{spec.name}: started")
                produced = self._call_with_retries(spec, loop)
            if isinstance(produced, Returned):
                self._expand(spec, produced.pipeline)
                return True
            self._note_case(spec, produced)
            waiting = self._keep(spec, produced)
        except StepError as error:
            self._fail(spec, error.cause, error.advice)
            return False
        except JobError as error:  # a value can't be stored or copied, or too few items succeeded
            self._fail(spec, error)
            return False
        except UserError as error:  # the pipeline of a dynamic step has mistakes
            self._fail(spec, error)
            return False
        is_whole = not self.attempt.partial.intersection(spec.outputs)
        self._succeed(spec, key if spec.stored and is_whole else None, waiting)
        return True

    def _expand(self, spec: StepSpec, pipeline: Any) -> None:
        """Plan the pipeline that a dynamic step has returned; the driver of the run runs it."""
        assert self.expander is not None
        digest = self.expander.expand(spec, pipeline)
        self.attempt.progress.update(spec.name, expansion=digest)
        self._end(spec, StepState.SUCCEEDED)

    def _skip_of(self, spec: StepSpec) -> Skip | None:
        return skip_of(spec, self._stored.cause_of_absence, self._stored.case_of)

    def _note_case(self, spec: StepSpec, produced: Mapping[str, Any]) -> None:
        """Report the case that a decision has chosen."""
        if spec.cases:
            self.attempt.progress.update(spec.name, case=produced[spec.name])

    def _succeed(
        self, spec: StepSpec, key: str | None, waiting: Sequence[EncodedValue] = ()
    ) -> None:
        """End a step that has succeeded: at once, or when its outputs that wait are stored.

        Args:
            spec: The step.
            key: Key of its cache entry, or None if it gets none.
            waiting: Outputs of an item that wait for those of others.
        """
        progress, ended_at = self.attempt.progress, time.time()

        def settle() -> None:
            if key is not None:
                self._write_cache_entry(key, spec)
            progress.update(spec.name, state=StepState.SUCCEEDED, ended_at=ended_at, reason=None)

        if waiting:
            progress.update(spec.name, ended_at=ended_at, reason=_NOT_STORED)
            self.attempt.outputs.add(waiting, settle)
        else:
            settle()
        self._report_end(spec, StepState.SUCCEEDED)

    def _keep(self, spec: StepSpec, produced: dict[str, Any]) -> Sequence[EncodedValue]:
        """Store the values that the plan says, and keep those that later steps of the job read.

        Returns:
            Outputs of an item that wait for those of others.
        """
        stored = {asset: produced[asset] for asset in spec.stored}
        waiting: Sequence[EncodedValue] = ()
        if stored:
            with self.attempt.sampler.phase(PhaseKind.OUTPUTS, spec.name):
                for asset in spec.lists:
                    check_list(asset, stored[asset])
                    if type(stored[asset]) is list:  # another one stays what it is for its readers
                        stored[asset] = save_items(self.attempt.store, asset, stored[asset])
                        self._lists[asset] = stored[asset]
                if spec.is_item:
                    waiting = self.attempt.outputs.store_large(stored)
                else:
                    self.attempt.assets.update(save_values(self.attempt.store, stored))
        del stored
        self._assets.add(produced)
        return waiting

    def _end_part(self, spec: StepSpec, part: StepPart) -> None:
        """Store the lists of the outputs of a part's items, which have run."""
        attempt = self.attempt
        if spec.branch is not None and (skip := self._skip_of(spec)) is not None:
            self._skip(spec, skip)  # also without items
            return
        if part.positions is None:  # a list does not exist
            causes = {asset: self._stored.cause_of_absence(asset) for asset in part.lists}
            asset, cause = next((a, c) for a, c in causes.items() if c is not None)
            self._skip(spec, Skip.by_absence(part.lists[asset], cause))
            return
        items = [outputs_of_part(spec, position) for position in part.positions]
        names = {asset for item in items for asset in item.values()}
        attempt.outputs.flush()
        drops = [attempt.dropped[asset] for asset in sorted(names & attempt.dropped.keys())]
        if drops and self._has_failed:
            self._drop(spec, drops[0])
            self._end(spec, StepState.NOT_RUN, reason=drops[0])
            return
        with attempt.sampler.phase(PhaseKind.OUTPUTS, spec.name):
            lists = {asset: self._list_of_outputs(part, asset, items) for asset in spec.outputs}
            encoded = [encode_value(asset, stored) for asset, stored in lists.items()]
            attempt.assets.update(save_encoded(attempt.store, encoded))
            attempt.outputs.keep(encoded)
        self._lists.update(lists)
        self._mark_partial(spec)
        if drops or names & attempt.partial:
            attempt.partial.update(spec.outputs)
        is_whole = names <= attempt.assets.keys() and not attempt.partial.intersection(spec.outputs)
        self._succeed(spec, self._cache_key(spec) if is_whole else None)

    def _list_of_outputs(
        self, part: StepPart, output: str, items: Sequence[Mapping[str, str]]
    ) -> ListIndex:
        """Return the index of an output of a part."""
        attempt = self.attempt
        return ListIndex(
            length=part.length,
            items=tuple(
                ListItem(
                    position=position,
                    ref=attempt.assets.get(assets[output]),
                    absent=attempt.skipped.get(assets[output]),
                    dropped=attempt.dropped.get(assets[output]),
                )
                for position, assets in zip(part.positions or (), items, strict=True)
            ),
        )

    @contextlib.contextmanager
    def _inputs(
        self, call: StepCall, last_attempt: bool = True
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield the assets and the context values that a call gets.

        A parameter that is annotated as `Lazy[T]` gets a handle, which is valid in this block.
        """
        causes = {asset: self._stored.cause_of_absence(asset) for asset in call.assets.reads}
        absent = {asset: Skipped(asset, why) for asset, why in causes.items() if why is not None}
        lazy = call.arguments.lazy_assets - absent.keys()
        handles = {
            asset: self._stored.handle(asset) for asset in lazy if not self._assets.holds(asset)
        }
        assets = self._assets.lend(call.assets, last_attempt, {*absent, *handles})
        handles |= {asset: Lazy.of(assets[asset], asset) for asset in lazy - handles.keys()}
        context = self._context.lend(call.context, last_attempt)
        of_context = {
            name: Lazy.of(context[name], name)
            for name in call.arguments.lazy_context & context.keys()
        }
        try:
            yield {**assets, **absent, **handles}, {**context, **of_context}
        finally:
            for handle in (*handles.values(), *of_context.values()):
                handle.close()

    def _condition_holds(self, spec: StepSpec, loop: EventLoop) -> bool:
        call = self._calls[spec.name].condition
        if call is None:
            return True
        with self._inputs(call) as (assets, context), self._code_of_step():
            return call_in_this_process(
                lambda: bool(loop.result(call.arguments.call(call.function, assets, context))),
                self.roots,
            )

    def _cache_key(self, spec: StepSpec) -> str | None:
        """Return the cache key of the step, or None if the step is never cached."""
        if spec.cache is None:
            return None
        assets = {
            spec.cache.labels.get(asset, asset): identity or self._stored.identity(asset)
            for asset, identity in spec.cache.assets.items()
        }
        return cache_key(spec.cache.identity, assets)

    def _use_cache_entry(self, key: str, spec: StepSpec) -> bool:
        """Take the outputs from a cache entry. Return False on a cache miss."""
        if spec.cache is None or not spec.cache.ask:
            return False
        if self.attempt.repetition:  # the entry may refer to the values that are damaged
            return False
        store = self.attempt.store
        try:
            entry = read_entry(store, key)
            if entry is None or not entry.serves(spec.cache.machine, python_version()):
                return False
            assets = entry.of_item(spec.outputs_by_own_name).assets
            if not assets.keys() >= set(spec.stored):
                return False
            refs = {asset: assets[asset] for asset in spec.stored}
            if not all(is_stored(store, ref) for ref in one_of_each_object(refs.values())):
                return False
        except AwsRefusedError as error:
            say(f"step {spec.name!r} is executed: its cache entry can't be read\n{error}")
            return False
        with reporting(f"{spec.name}: can't record that its cache entry is used"):
            keep_entry(store, entry, time.time())
        self.attempt.assets.update(refs)
        if spec.cases:
            self._note_case(spec, self._stored.load([spec.name]))
        reason = f"reused from run {entry.run_id}"
        self._end(spec, StepState.CACHED, reason=reason, produced_in=entry.run_id)
        return True

    def _write_cache_entry(self, key: str, spec: StepSpec) -> None:
        attempt = self.attempt
        refs = [attempt.assets[asset] for asset in spec.stored]
        for asset in spec.stored:
            refs += self._lists[asset].refs if asset in self._lists else ()
        is_pickled = any(map(may_run_code, refs))
        entry = CacheEntry(
            key=key,
            pipeline=attempt.spec.pipeline,
            step=spec.function,
            run_id=attempt.spec.run_id,
            created_at=time.time(),
            assets={
                declared: attempt.assets[asset]
                for declared, asset in spec.outputs_by_own_name.items()
                if asset in spec.stored
            },
            changed=attempt.changed,
            machine=spec.cache.machine if spec.cache is not None and attempt.changed else None,
            python=python_version() if is_pickled else None,
        )
        with reporting(f"{spec.name}: can't write its cache entry"):
            write_entry(attempt.store, entry)

    def _load(self, assets: Sequence[str]) -> dict[str, Any]:
        if not assets:
            return {}
        with self.attempt.sampler.phase(PhaseKind.INPUTS, self._step):
            return self._stored.load(assets)

    def _call_with_retries(self, spec: StepSpec, loop: EventLoop) -> dict[str, Any] | Returned:
        """Call the function of a step until it succeeds. Return its outputs by asset."""
        for retries in range(spec.retry + 1):
            is_last = retries == spec.retry
            try:
                returned = self._call(spec, loop, is_last)
                if spec.max_depth is not None and is_pipeline(returned):
                    return Returned(returned)
                with self._code_of_step():
                    outputs = self.steps[spec.function].split_outputs(returned)
                return dict(zip(spec.outputs, outputs.values(), strict=True))
            except StepError as error:
                if is_last:
                    raise
                delay_s = min(spec.retry_delay_s * 2**retries, _LONGEST_DELAY_S)
                self.attempt.progress.update(spec.name, retries=retries + 1)
                say(
                    f"{spec.name}: attempt {retries + 1} of {spec.retry + 1} failed "
                    f"({kind_of(error.cause)}: {text_of(error.cause)}); "
                    f"retrying in {delay_s:g} s"
                )
            self.sleep(delay_s)  # outside `except`: the failed attempt's memory is free
        raise AssertionError("the last attempt returns or raises")

    def _call(self, spec: StepSpec, loop: EventLoop, is_last: bool) -> Any:
        call = self._calls[spec.name].function
        log = self.attempt.log
        log.begin(spec.name)

        def call_and_await() -> Any:
            try:
                returned = call_in_this_process(
                    lambda: loop.result(call.arguments.call(call.function, assets, context)),
                    self.roots,
                )
            except BaseException:
                loop.cancel_tasks()
                raise
            loop.finish()  # within the timeout
            return returned

        sampling = self.attempt.sampler.phase(PhaseKind.STEP, spec.name)
        watching = self._watching_gpus(spec)
        nodes = self._on_nodes(spec, is_last)
        with (
            self._inputs(call, is_last) as (assets, context),
            sampling,
            watching,
            self._code_of_step(),
            nodes as call_on_nodes,
            recording(log),
        ):
            return call_within(
                spec.timeout_s,
                lambda: call_on_nodes(call_and_await),
                on_stuck=lambda: self._end_process(spec, _stuck(spec)),
                grace_s=self.grace_s,
            )

    def _on_nodes(
        self, spec: StepSpec, is_last: bool
    ) -> AbstractContextManager[Callable[[Callable[[], Any]], Any]]:
        """Return a block with a function that calls a function on all nodes of the step."""
        if not spec.has_other_processes or self.nodes is None:
            return contextlib.nullcontext(lambda function: function())
        return self.nodes.calling(
            spec,
            self.attempt,
            must_stop=not is_last,
            on_stuck=lambda error: self._end_process(
                spec, describe_step_failure(error, self.roots, "", self._kills)
            ),
        )

    @contextlib.contextmanager
    def _code_of_step(self) -> Iterator[None]:
        """Attribute an exception to the step, unless a stop request caused it.

        Raises:
            StepError: The user's code raised an exception.
            FlowymlError: A handle could not read its value.
        """
        try:
            yield
        except Interrupted:
            raise
        except BaseException as error:  # the user's code may raise anything, even SystemExit
            self.interruption.check()
            if self._stored.unread is not None:
                raise self._stored.unread from None
            raise StepError(error, self._advice(error)) from error

    def _advice(self, error: BaseException) -> str:
        changes_an_array = isinstance(error, ValueError) and "read-only" in str(error)
        if changes_an_array and (self._assets.has_lent or self._context.has_lent):
            return READ_ONLY_ADVICE
        return ""

    @contextlib.contextmanager
    def _watching_gpus(self, spec: StepSpec) -> Iterator[None]:
        """Report that a step does not use the job's GPUs, and stop it if its options say so."""
        if not spec.has_gpus:
            yield
            return
        watch = GpuWatch(
            started_at=time.time(),
            stop_s=spec.stop_idle_gpu_s,
            report=lambda idle, now: self._note_idle_gpus(spec, idle, now),
            stop=lambda idle: self._end_process(spec, idle_failure(idle)),
            cannot_watch=lambda reason: say(
                f"{spec.name}: the use of its GPUs can't be watched ({reason})"
                + ("; stop_idle_gpu has no effect" if spec.stop_idle_gpu_s is not None else "")
            ),
        )
        try:
            with self.attempt.sampler.observed(watch.see):
                yield
        finally:
            watch.close()

    def _note_idle_gpus(self, spec: StepSpec, idle: GpuIdle, now: float) -> None:
        self.attempt.progress.update(spec.name, gpu_idle=idle)
        say(idle_text(spec.name, idle, now))

    def _end_process(self, spec: StepSpec, failure: StepFailure) -> None:
        """End the process with a failure of a step that can't be stopped otherwise."""
        try:
            self._end(spec, StepState.FAILED, failure=failure)
            show(failure.text)
            self._flush_last()
            self.attempt.log.close()
            self.attempt.commit("failed")
        except FlowymlError as error:
            say(f"the result can't be written\n{error}")
        finally:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # see `show`
                sys.stdout.flush()
            os._exit(STEP_FAILED)

    def _skip(self, spec: StepSpec, skip: Skip) -> None:
        self._mark_skipped(spec, skip)
        self._end(spec, StepState.SKIPPED, reason=skip.reason)

    def _mark_skipped(self, spec: StepSpec, skip: Skip) -> None:
        self.attempt.skipped.update(dict.fromkeys(spec.outputs, skip.cause))

    def _drop(self, spec: StepSpec, cause: str) -> None:
        """Record that the outputs of an item do not exist, because an item failed."""
        self.attempt.dropped.update(dict.fromkeys(spec.outputs, cause))

    def _mark_partial(self, spec: StepSpec) -> None:
        """Mark the outputs of a step that reads a list without dropped items.

        They are not cached: the next run may drop other items.
        """
        if self._stored.is_partial(spec.reads):
            self.attempt.partial.update(spec.outputs)

    def _fail(self, spec: StepSpec, error: BaseException, advice: str = "") -> None:
        failure = describe_step_failure(error, self.roots, advice, self._kills)
        self._end(spec, StepState.FAILED, failure=failure)
        if spec.is_item:
            self._drop(spec, drop_cause(spec.name))
        show(failure.text)

    def _end(
        self,
        spec: StepSpec,
        state: StepState,
        reason: str | None = None,
        failure: StepFailure | None = None,
        produced_in: str | None = None,
    ) -> None:
        progress = self.attempt.progress
        progress.update(
            spec.name,
            state=state,
            ended_at=time.time(),
            reason=reason,
            failure=failure,
            produced_in=produced_in,
        )
        self._report_end(spec, state, reason)

    def _report_end(self, spec: StepSpec, state: StepState, reason: str | None = None) -> None:
        progress = self.attempt.progress
        self.attempt.log.end()
        duration = f"after {progress[spec.name].duration_s:.2f} s"
        say(f"{spec.name}: {state.value} {duration}{f': {reason}' if reason else ''}")


def _stuck(spec: StepSpec) -> StepFailure:
    message = f"it ran longer than its timeout of {spec.timeout_s:g} s and could not be stopped"
    return StepFailure(kind="StepTimeout", message=message, cause=Cause.TIME_LIMIT)
