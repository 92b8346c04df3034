"""The failures of a run, with what to do about each."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from flowyml_aws.planning.needs import mib_text
from flowyml_aws.report.data import FailureEntry
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import StepFailure
from flowyml_aws.submission.status import JobView, RunStatus, failures

__all__ = ["failure_entries"]


def failure_entries(status: RunStatus) -> Iterable[FailureEntry]:
    """Yield an entry for each failure, in plan order. Blocked jobs are not failures."""
    views = {view.job.name: view for view in status.jobs}
    for failed in failures(status):
        view = views[failed.job]
        found: Mapping[str | None, StepFailure | None] = {
            **({None: failed.failure} if failed.failure is not None else {}),
            **failed.steps,
        }
        for step, failure in (found or {failed.step: None}).items():
            yield FailureEntry(
                job=failed.job,
                step=step,
                reason=failed.reason,
                kind=None if failure is None else failure.kind,
                message="" if failure is None else failure.message,
                traceback=None if failure is None else failure.traceback,
                cause=None if failure is None else failure.cause.value,
                fixes=tuple(_fixes(status.run_id, view, step, failure)),
            )


def _fixes(
    run_id: str, view: JobView, step: str | None, failure: StepFailure | None
) -> Iterable[str]:
    resume = f"flowyml-aws resume {run_id}"
    name = step or view.job.steps[0]
    cause = failure.cause if failure is not None else None
    if cause is Cause.STEP:
        yield f"Correct step {name!r}, then run the pipeline again."
        yield f"If the failure was temporary, continue this run: {resume}"
    elif cause is Cause.TIME_LIMIT:
        yield f"Give step {name!r} a longer timeout, then run the pipeline again."
    elif cause is Cause.OUT_OF_MEMORY:
        memory = mib_text(2 * view.job.needs.memory_mib)
        yield f"Continue with more memory: {resume} --resources {_resource(name, 'memory', memory)}"
    elif cause is Cause.GPU_OUT_OF_MEMORY:
        yield "Use smaller batches, or request a GPU with more memory."
    elif cause is Cause.DISK_FULL:
        storage = f"{2 * max(30, view.job.needs.storage_gib)}Gi"
        yield (
            f"Continue with a larger disk: {resume} --resources "
            f"{_resource(name, 'storage', storage)}"
        )
    elif cause is Cause.SETUP:
        yield f"Correct what the message names, then continue: {resume}"
        yield "Check the account and the image: flowyml-aws doctor"
    else:
        yield f"Continue this run: {resume}"
    yield f"Read the whole log: flowyml-aws logs {run_id} {shlex.quote(view.job.name)}"


def _resource(step: str, resource: str, amount: str) -> str:
    return shlex.quote(f"{step}={resource}={amount}")
