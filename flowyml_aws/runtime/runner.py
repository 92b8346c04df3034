"""Run the steps of one job in order, in this process."""

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
    """Runs the steps of one attempt; what it stored and skipped is noted in the attempt.

    Attributes:
        attempt: What to run, and where to report.
        steps: The steps by name, out of the payload.
        context: Context values by name.
        roots: Where the project lies, here and on the client: told relative in tracebacks.
        scratch: A folder for assets that are files.
        interruption: Whether somebody asked the job to end.
        sleep: Waits some seconds before a step is repeated.
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
        """Run every step; False after the first that failed.

        Raises:
            Interrupted: Somebody asked the job to end.
            Exception: No step is to blame: an asset is missing or damaged, the store denied a
                call.
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
        """Take over what earlier attempts finished."""
        done, assets = done_before(self.attempt.spec.steps, self.attempt.earlier())
        self.attempt.assets.update(assets)
        for spec in self.attempt.spec.steps:
            if spec.name in done:
                report = done[spec.name]
                if report.state is StepState.SKIPPED:
                    self._leave_out(spec)
                self.attempt.progress.take(report)
                say(f"{spec.name}: {report.state.value} in an earlier attempt")

    def _run_step(self, spec: StepSpec, last_reader: Mapping[str, str]) -> bool:
        """Whether the job goes on behind this step."""
        self.attempt.progress.update(spec.name, started_at=time.time(), state=StepState.RUNNING)
        if (reason := self._absent_input(spec)) is not None:
            self._skip(spec, reason)
            return True
        key = self._cache_key(spec)
        if key is not None and self._is_cached(key, spec):
            return True
        missing = {asset: self._ref(asset) for asset in spec.reads if asset not in self._values}
        self._values.update(load_values(self.attempt.store, missing, self.scratch))
        step = self.steps[spec.name]
        try:
            if not self._is_wanted(step, spec):
                self._skip(spec, "its condition is false")
                return True
            say(f"{spec.name}: started")
            produced = step.split_outputs(self._call_with_retries(step, spec))
        except Interrupted:
            raise
        except BaseException as error:  # whatever the user's code raises, `sys.exit()` included
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
            self._remember(key, spec)
        # The memory belongs to the steps to come: nothing is kept that none of them reads.
        self._values.update({a: v for a, v in produced.items() if a in last_reader})
        self._end(spec, StepState.SUCCEEDED)
        return True

    def _absent_input(self, spec: StepSpec) -> str | None:
        """Why the step can't run, where something that it reads was skipped."""
        for asset in spec.reads:
            source = self.attempt.spec.assets.get(asset)
            if source is not None and source.job is not None:
                if asset in self._result_of(source.job).skipped:
                    return f"{asset!r} does not exist: its step in job {source.job!r} was skipped"
            elif asset in self._absent:
                return f"{asset!r} does not exist: step {self._absent[asset]!r} was skipped"
        return None

    def _is_wanted(self, step: Step, spec: StepSpec) -> bool:
        if step.condition is None:
            return True
        arguments = bind(step.condition, spec.inputs, self.context, spec.reads, step.func)
        return bool(arguments.call(step.condition, self._values, self.context))

    def _cache_key(self, spec: StepSpec) -> str | None:
        """The key of what the step makes, or None if it is never cached."""
        if spec.cache is None:
            return None
        assets = {
            asset: identity if identity is not None else self._ref(asset).identity
            for asset, identity in spec.cache.assets.items()
        }
        return cache_key(spec.cache.identity, assets)

    def _is_cached(self, key: str, spec: StepSpec) -> bool:
        """Whether an earlier outcome serves; if so, the step is done."""
        if spec.cache is None or not spec.cache.ask:
            return False
        store = self.attempt.store
        entry = read_entry(store, key)
        if entry is None or not entry.assets.keys() >= set(spec.stored):
            return False
        refs = {asset: entry.assets[asset] for asset in spec.stored}
        if not all(is_stored(store, ref) for ref in refs.values()):
            return False
        keep_entry(store, entry, time.time())
        self.attempt.assets.update(refs)
        self._end(spec, StepState.CACHED, reason=f"run {entry.run_id} made the same")
        return True

    def _remember(self, key: str, spec: StepSpec) -> None:
        attempt = self.attempt
        entry = CacheEntry(
            key=key,
            pipeline=attempt.spec.pipeline,
            step=spec.name,
            run_id=attempt.spec.run_id,
            created_at=time.time(),
            assets={asset: attempt.assets[asset] for asset in spec.stored},
        )
        write_entry(attempt.store, entry)

    def _ref(self, asset: str) -> ArtifactRef:
        """Where the value of an asset lies."""
        if asset in self.attempt.assets:
            return self.attempt.assets[asset]
        source = self.attempt.spec.assets[asset]
        ref = source.ref if source.job is None else self._result_of(source.job).assets.get(asset)
        if ref is None:
            raise ArtifactNotFoundError(
                what=f"Asset {asset!r} was not stored",
                why=f"job {source.job!r} has a result, but this asset is not in it",
                fix="run the pipeline again",
            )
        return ref

    def _result_of(self, job: str) -> JobResult:
        if job not in self._results:
            result = self.attempt.result_of(job)
            if result is None:
                raise ArtifactNotFoundError(
                    what=f"Job {job!r} has no result",
                    why="this job reads its assets and started before it ended",
                    fix="look at that job's status, then run the pipeline again",
                )
            self._results[job] = result
        return self._results[job]

    def _call_with_retries(self, step: Step, spec: StepSpec) -> Any:
        arguments = bind(step.func, spec.inputs, self.context)
        for retries in range(spec.retry + 1):
            try:
                return call_within(
                    spec.timeout_s,
                    lambda: arguments.call(step.func, self._values, self.context),
                    on_stuck=lambda: self._give_up(spec),
                    grace_s=self.grace_s,
                )
            except BaseException as error:
                self.interruption.check()  # what a step makes of the end is no failure of it
                if retries == spec.retry:
                    raise
                delay_s = min(spec.retry_delay_s * 2**retries, _LONGEST_DELAY_S)
                self.attempt.progress.update(spec.name, retries=retries + 1)
                say(
                    f"{spec.name}: attempt {retries + 1} of {spec.retry + 1} failed "
                    f"({type(error).__name__}: {text_of(error)}); again in {delay_s:g} s"
                )
            self.sleep(delay_s)  # the failed attempt's memory is free by now
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self, spec: StepSpec) -> None:
        """End the process: the step ignored its timeout, so no Python code can stop it."""
        what = f"it ran longer than its timeout of {spec.timeout_s:g} s and did not stop when told"
        failure = StepFailure(kind="StepTimeout", message=what, traceback=f"StepTimeout: {what}\n")
        self._end(spec, StepState.FAILED, failure=failure)
        self.attempt.commit("failed")
        show(failure.traceback)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # as in `show`
            sys.stdout.flush()
        os._exit(STEP_FAILED)

    def _skip(self, spec: StepSpec, reason: str) -> None:
        self._leave_out(spec)
        self._end(spec, StepState.SKIPPED, reason=reason)

    def _leave_out(self, spec: StepSpec) -> None:
        self._absent.update(dict.fromkeys(spec.outputs, spec.name))
        self.attempt.skipped.extend(spec.outputs)

    def _fail(self, spec: StepSpec, error: BaseException) -> None:
        failure = describe_step_failure(error, self.roots)
        self._end(spec, StepState.FAILED, failure=failure)
        show(failure.traceback)

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
        took = f"after {progress[spec.name].duration_s:.2f} s"
        say(f"{spec.name}: {state.value} {took}{f': {reason}' if reason else ''}")
