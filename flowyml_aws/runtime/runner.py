"""Run the steps of one job in order, in this process, and commit the result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.binding import bind
from flowyml_aws.core.errors import ArtifactNotFoundError, FlowymlError
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.events import Progress
from flowyml_aws.runtime.exit_codes import STEP_FAILED
from flowyml_aws.runtime.failures import describe_failure
from flowyml_aws.runtime.result import JobResult, StepFailure, StepState
from flowyml_aws.runtime.spec import JobSpec, StepSpec
from flowyml_aws.runtime.time_limit import StepTimeout, time_limit

__all__ = ["JobRunner", "say"]

_LONGEST_DELAY_S = 60.0


def say(message: str) -> None:
    """One line of the runner in the job's log."""
    print(f"[flowyml-aws] {message}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class JobRunner:
    """One attempt of one job.

    Attributes:
        spec: What to run.
        store: Holds the run.
        steps: The steps by name, out of the payload.
        context: Context values by name.
        attempt: 1 for the first.
        root: The user's code; told relative in tracebacks.
        scratch: A folder for assets that are files.
    """

    spec: JobSpec
    store: ArtifactStore
    steps: Mapping[str, Step]
    context: Mapping[str, Any]
    attempt: int
    root: Path | None
    scratch: Path
    progress: Progress
    started_at: float = field(default_factory=time.time)
    sleep: Callable[[float], None] = time.sleep
    _values: dict[str, Any] = field(default_factory=dict)
    _stored: dict[str, ArtifactRef] = field(default_factory=dict)
    _skipped: dict[str, str] = field(default_factory=dict)
    _results: dict[str, JobResult] = field(default_factory=dict)

    def run(self) -> JobResult:
        """Run every step and commit the result, also that of a failure."""
        for position, spec in enumerate(self.spec.steps):
            if not self._run_step(spec):
                return self.commit("failed")
            still_read = {
                asset for later in self.spec.steps[position + 1 :] for asset in later.reads
            }
            for asset in self._values.keys() - still_read:
                del self._values[asset]  # the memory belongs to the steps to come
        return self.commit("succeeded")

    def commit(self, state: str, failure: StepFailure | None = None) -> JobResult:
        """Write result.json, unless another attempt has: then that one counts."""
        result = JobResult(
            run_id=self.spec.run_id,
            job=self.spec.job,
            attempt=self.attempt,
            state="succeeded" if state == "succeeded" else "failed",
            started_at=self.started_at,
            ended_at=time.time(),
            steps=self.progress.reports,
            assets=self._stored,
            skipped=tuple(self._skipped),
            failure=failure,
        )
        key = RunLayout(self.spec.run_id).result(self.spec.job)
        if self.store.create(key, result.to_json()):
            return result
        say("another attempt has committed a result already: that one counts")
        return read_document(JobResult, self.store.get(key), f"{self.store.uri}/{key}")

    def _run_step(self, spec: StepSpec) -> bool:
        """Whether the job goes on."""
        step = self.steps[spec.name]
        self.progress.update(spec.name, started_at=time.time(), state=StepState.RUNNING)
        try:
            if (reason := self._reason_to_skip(step, spec)) is not None:
                self._skipped.update(dict.fromkeys(spec.outputs, spec.name))
                self._end(spec, StepState.SKIPPED, reason=reason)
                return True
            say(f"{spec.name}: started")
            produced = step.split_outputs(self._call_with_retries(step, spec))
            for asset in spec.stored:
                self._stored[asset] = save_value(self.store, asset, produced[asset])
        except (Exception, StepTimeout) as error:  # whatever the user's code raises is its failure
            failure = describe_failure(error, self.root)
            self._end(spec, StepState.FAILED, failure=failure)
            print(failure.traceback, file=sys.stderr, flush=True)
            return False
        self._values.update(produced)
        self._end(spec, StepState.SUCCEEDED)
        return True

    def _reason_to_skip(self, step: Step, spec: StepSpec) -> str | None:
        for asset in spec.reads:
            if asset not in self._values:
                self._fetch(asset)
            if asset in self._skipped:
                return f"step {self._skipped[asset]!r}, which produces {asset!r}, was skipped"
        if step.condition is None:
            return None
        arguments = bind(step.condition, spec.inputs, self.context, spec.reads)
        goes = arguments.call(step.condition, self._values, self.context)
        return None if goes else "its condition is false"

    def _fetch(self, asset: str) -> None:
        """Load an asset from outside the job, or learn that it was skipped."""
        if asset in self._skipped:
            return
        source = self.spec.assets[asset]
        ref = source.ref
        if source.job is not None:
            upstream = self._result_of(source.job)
            if asset in upstream.skipped:
                self._skipped[asset] = source.job
                return
            ref = upstream.assets.get(asset)
        if ref is None:
            raise ArtifactNotFoundError(
                what=f"Asset {asset!r} was not stored",
                why=f"job {source.job!r} has a result, but this asset is not in it",
                fix="run the pipeline again",
            )
        self._values[asset] = load_value(self.store, ref, asset, self.scratch)

    def _result_of(self, job: str) -> JobResult:
        if job not in self._results:
            key = RunLayout(self.spec.run_id).result(job)
            self._results[job] = read_document(
                JobResult, self.store.get(key), f"{self.store.uri}/{key}"
            )
        return self._results[job]

    def _call_with_retries(self, step: Step, spec: StepSpec) -> Any:
        arguments = bind(step.func, spec.inputs, self.context)
        for retries in range(spec.retry + 1):
            try:
                with time_limit(spec.timeout_s, on_stuck=lambda: self._give_up(spec)):
                    return arguments.call(step.func, self._values, self.context)
            except (Exception, StepTimeout) as error:
                if retries == spec.retry:
                    raise
                delay_s = min(spec.retry_delay_s * 2**retries, _LONGEST_DELAY_S)
                self.progress.update(spec.name, retries=retries + 1)
                say(
                    f"{spec.name}: attempt {retries + 1} of {spec.retry + 1} failed "
                    f"({type(error).__name__}: {error}); again in {delay_s:g} s"
                )
                self.sleep(delay_s)
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self, spec: StepSpec) -> None:
        """End the process: the step ignored its timeout, so no Python code can stop it."""
        what = f"it ran longer than its timeout of {spec.timeout_s:g} s and did not stop when told"
        failure = StepFailure(kind="StepTimeout", message=what, traceback=f"StepTimeout: {what}\n")
        self._end(spec, StepState.FAILED, failure=failure)
        self.commit("failed")
        os._exit(STEP_FAILED)

    def _end(
        self,
        spec: StepSpec,
        state: StepState,
        reason: str | None = None,
        failure: StepFailure | None = None,
    ) -> None:
        self.progress.update(
            spec.name, state=state, ended_at=time.time(), reason=reason, failure=failure
        )
        took = f"after {self.progress[spec.name].duration_s:.2f} s"
        say(f"{spec.name}: {state.value} {took}{f': {reason}' if reason else ''}")


def describe_bad_input(error: FlowymlError) -> StepFailure:
    """The failure of a job that could not start."""
    return StepFailure(kind=type(error).__name__, message=error.what, traceback=str(error))
