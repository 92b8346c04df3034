"""Runs the steps of one job in order, in this process."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.cache import CacheEntry, is_stored, keep_entry, read_entry, write_entry
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.transfer import load_values, save_values
from flowyml_aws.core.binding import bind
from flowyml_aws.core.cache_key import cache_key
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.exit_codes import STEP_FAILED
from flowyml_aws.runtime.failures import describe_step_failure, text_of
from flowyml_aws.runtime.forks import call_in_this_process
from flowyml_aws.runtime.interruption import Interrupted, Interruption
from flowyml_aws.runtime.log import say, show
from flowyml_aws.runtime.result import JobResult, StepFailure, StepState
from flowyml_aws.runtime.resume import done_before
from flowyml_aws.runtime.spec import StepSpec
from flowyml_aws.runtime.time_limit import GRACE_S, call_within

__all__ = ["JobRunner"]

_LONGEST_DELAY_S = 60.0


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
    """

    attempt: Attempt
    steps: Mapping[str, Step]
    context: Mapping[str, Any]
    roots: Sequence[Path]
    scratch: Path
    interruption: Interruption
    sleep: Callable[[float], None] = time.sleep
    grace_s: float = GRACE_S
    _values: dict[str, Any] = field(default_factory=dict)
    _absent: dict[str, str] = field(default_factory=dict)
    _results: dict[str, JobResult] = field(default_factory=dict)

    def run(self) -> bool:
        """Run the steps. Return False as soon as a step fails.

        Raises:
            Interrupted: The job was asked to stop.
            Exception: The job failed, but no step did: an asset is missing or damaged, or the
                store denied a call.
        """
        specs = self.attempt.spec.steps
        last_reader = {asset: spec.name for spec in specs for asset in spec.reads}
        self._resume()
        for spec in specs:
            if self.attempt.progress[spec.name].state is not StepState.WAITING:
                continue
            self.interruption.check()
            try:
                if not self._run_step(spec, last_reader):
                    return False
            except Exception as error:
                self._end(spec, StepState.FAILED, reason=f"the job failed: {text_of(error)}")
                raise
            for asset in spec.reads:
                if last_reader[asset] == spec.name:
                    self._values.pop(asset, None)
        return True

    def _resume(self) -> None:
        """Take over the steps that earlier attempts completed."""
        done, assets = done_before(self.attempt.spec.steps, self.attempt.earlier_events())
        self.attempt.assets.update(assets)
        for spec in self.attempt.spec.steps:
            if spec.name in done:
                report = done[spec.name]
                if report.state is StepState.SKIPPED:
                    self._mark_skipped(spec)
                self.attempt.progress.take(report)
                say(f"{spec.name}: {report.state.value} in an earlier attempt")

    def _run_step(self, spec: StepSpec, last_reader: Mapping[str, str]) -> bool:
        """Run one step. Return False if it failed."""
        self.attempt.progress.update(spec.name, started_at=time.time(), state=StepState.RUNNING)
        if (reason := self._absent_input(spec)) is not None:
            self._skip(spec, reason)
            return True
        key = self._cache_key(spec)
        if key is not None and self._use_cache_entry(key, spec):
            return True
        missing = {asset: self._ref(asset) for asset in spec.reads if asset not in self._values}
        self._values.update(load_values(self.attempt.store, missing, self.scratch))
        step = self.steps[spec.name]
        try:
            if not self._condition_holds(step, spec):
                self._skip(spec, "its condition is false")
                return True
            say(f"{spec.name}: started")
            produced = step.split_outputs(self._call_with_retries(step, spec))
        except Interrupted:
            raise
        except BaseException as error:  # the user's code may raise anything, even SystemExit
            self.interruption.check()
            self._fail(spec, error)
            return False
        stored = {asset: produced[asset] for asset in spec.stored}
        try:
            self.attempt.assets.update(save_values(self.attempt.store, stored))
        except UnstorableValueError as error:
            self._fail(spec, error)
            return False
        if key is not None and spec.stored:
            self._write_cache_entry(key, spec)
        # Keep only what later steps read, to free memory for them.
        self._values.update({a: v for a, v in produced.items() if a in last_reader})
        self._end(spec, StepState.SUCCEEDED)
        return True

    def _absent_input(self, spec: StepSpec) -> str | None:
        """Return why the step can't run, if one of its inputs was skipped; otherwise None."""
        for asset in spec.reads:
            source = self.attempt.spec.assets.get(asset)
            if source is not None and source.job is not None:
                if asset in self._result_of(source.job).skipped:
                    return f"{asset!r} does not exist: its step in job {source.job!r} was skipped"
            elif asset in self._absent:
                return f"{asset!r} does not exist: step {self._absent[asset]!r} was skipped"
        return None

    def _condition_holds(self, step: Step, spec: StepSpec) -> bool:
        if step.condition is None:
            return True
        arguments = bind(step.condition, spec.inputs, self.context, spec.reads, step.func)
        condition = step.condition
        return call_in_this_process(
            lambda: bool(arguments.call(condition, self._values, self.context)), self.roots
        )

    def _cache_key(self, spec: StepSpec) -> str | None:
        """Return the cache key of the step, or None if the step is never cached."""
        if spec.cache is None:
            return None
        assets = {
            asset: identity if identity is not None else self._ref(asset).identity
            for asset, identity in spec.cache.assets.items()
        }
        return cache_key(spec.cache.identity, assets)

    def _use_cache_entry(self, key: str, spec: StepSpec) -> bool:
        """Take the outputs from a cache entry. Return False on a cache miss."""
        if spec.cache is None or not spec.cache.ask:
            return False
        store = self.attempt.store
        entry = read_entry(store, key)
        if entry is None or not entry.serves(spec.cache.machine):
            return False
        if not entry.assets.keys() >= set(spec.stored):
            return False
        refs = {asset: entry.assets[asset] for asset in spec.stored}
        if not all(is_stored(store, ref) for ref in refs.values()):
            return False
        keep_entry(store, entry, time.time())
        self.attempt.assets.update(refs)
        self._end(spec, StepState.CACHED, reason=f"reused from run {entry.run_id}")
        return True

    def _write_cache_entry(self, key: str, spec: StepSpec) -> None:
        attempt = self.attempt
        entry = CacheEntry(
            key=key,
            pipeline=attempt.spec.pipeline,
            step=spec.name,
            run_id=attempt.spec.run_id,
            created_at=time.time(),
            assets={asset: attempt.assets[asset] for asset in spec.stored},
            changed=attempt.changed,
            machine=spec.cache.machine if spec.cache is not None and attempt.changed else None,
        )
        write_entry(attempt.store, entry)

    def _ref(self, asset: str) -> ArtifactRef:
        """Return the ref of a stored asset."""
        if asset in self.attempt.assets:
            return self.attempt.assets[asset]
        source = self.attempt.spec.assets[asset]
        ref = source.ref if source.job is None else self._result_of(source.job).assets.get(asset)
        if ref is None:
            raise ArtifactNotFoundError(
                what=f"Asset {asset!r} was not stored",
                why=f"the result of job {source.job!r} does not contain it",
                fix="run the pipeline again",
            )
        return ref

    def _result_of(self, job: str) -> JobResult:
        if job not in self._results:
            result = self.attempt.result_of(job)
            if result is None:
                raise ArtifactNotFoundError(
                    what=f"Job {job!r} has no result",
                    why="this job reads its assets, but started before it ended",
                    fix="check that job's status, then run the pipeline again",
                )
            self._results[job] = result
        return self._results[job]

    def _call_with_retries(self, step: Step, spec: StepSpec) -> Any:
        arguments = bind(step.func, spec.inputs, self.context)
        for retries in range(spec.retry + 1):
            try:
                return call_within(
                    spec.timeout_s,
                    lambda: call_in_this_process(
                        lambda: arguments.call(step.func, self._values, self.context), self.roots
                    ),
                    on_stuck=lambda: self._end_process(spec),
                    grace_s=self.grace_s,
                )
            except BaseException as error:
                self.interruption.check()  # an error that a stop request caused is not a failure
                if retries == spec.retry:
                    raise
                delay_s = min(spec.retry_delay_s * 2**retries, _LONGEST_DELAY_S)
                self.attempt.progress.update(spec.name, retries=retries + 1)
                say(
                    f"{spec.name}: attempt {retries + 1} of {spec.retry + 1} failed "
                    f"({type(error).__name__}: {text_of(error)}); retrying in {delay_s:g} s"
                )
            self.sleep(delay_s)  # outside `except`: the failed attempt's memory is free
        raise AssertionError("the last attempt returns or raises")

    def _end_process(self, spec: StepSpec) -> None:
        """End the process, because the step ignored its timeout and can't be stopped otherwise."""
        message = f"it ran longer than its timeout of {spec.timeout_s:g} s and could not be stopped"
        failure = StepFailure(kind="StepTimeout", message=message)
        self._end(spec, StepState.FAILED, failure=failure)
        self.attempt.commit("failed")
        show(failure.text)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # see `show`
            sys.stdout.flush()
        os._exit(STEP_FAILED)

    def _skip(self, spec: StepSpec, reason: str) -> None:
        self._mark_skipped(spec)
        self._end(spec, StepState.SKIPPED, reason=reason)

    def _mark_skipped(self, spec: StepSpec) -> None:
        self._absent.update(dict.fromkeys(spec.outputs, spec.name))
        self.attempt.skipped.extend(spec.outputs)

    def _fail(self, spec: StepSpec, error: BaseException) -> None:
        failure = describe_step_failure(error, self.roots)
        self._end(spec, StepState.FAILED, failure=failure)
        show(failure.text)

    def _end(
        self,
        spec: StepSpec,
        state: StepState,
        reason: str | None = None,
        failure: StepFailure | None = None,
    ) -> None:
        progress = self.attempt.progress
        progress.update(
            spec.name, state=state, ended_at=time.time(), reason=reason, failure=failure
        )
        duration = f"after {progress[spec.name].duration_s:.2f} s"
        say(f"{spec.name}: {state.value} {duration}{f': {reason}' if reason else ''}")
