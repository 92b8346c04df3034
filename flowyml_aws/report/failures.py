"""The failures of a run, with what to do about each."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from flowyml_aws.planning.needs import mib_text
from flowyml_aws.report.data import FailureEntry, Fix
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import StepFailure
from flowyml_aws.submission.status import JobView, RunStatus, failures

__all__ = ["failure_entries"]


def failure_entries(status: RunStatus) -> Iterable[FailureEntry]:
    """Yield an entry for each failure, in plan order. Blocked jobs are not failures."""
    views = {view.job.name: view for view in status.jobs}
    for failed in failures(status):
        view = views[failed.job]
        found: list[tuple[str | None, StepFailure | None]] = [*failed.steps.items()]
        if failed.failure is not None:
            found.insert(0, (None, failed.failure))
        for step, failure in found or [(failed.step, None)]:
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
) -> Iterable[Fix]:
    resume = f"flowyml-aws resume {run_id}"
    name = step or view.job.steps[0]
    cause = failure.cause if failure is not None else None
    if cause is Cause.STEP:
        yield Fix(text=f"Correct step {name!r}, then run the pipeline again.")
        yield Fix(text="If the failure was temporary, continue this run:", command=resume)
    elif cause is Cause.TIME_LIMIT:
        yield Fix(text=f"Give step {name!r} a longer timeout, then run the pipeline again.")
    elif cause is Cause.GPU_IDLE:
        yield Fix(text=f"Make step {name!r} use its GPU, or give it none.")
    elif cause is Cause.COST_LIMIT:
        yield Fix(text="Continue with a higher limit:", command=f"{resume} --max-cost-usd USD")
    elif cause is Cause.OUT_OF_MEMORY:
        memory = _resource(name, "memory", mib_text(2 * view.job.needs.memory_mib))
        yield Fix(text="Continue with more memory:", command=f"{resume} {memory}")
    elif cause is Cause.GPU_OUT_OF_MEMORY:
        yield Fix(text="Use smaller batches, or request a GPU with more memory.")
    elif cause is Cause.DISK_FULL:
        storage = _resource(name, "storage", f"{2 * max(30, view.job.needs.storage_gib)}Gi")
        yield Fix(text="Continue with a larger disk:", command=f"{resume} {storage}")
    elif cause is Cause.SETUP:
        yield Fix(text="Check the account and the image:", command="flowyml-aws doctor")
        yield Fix(text="Correct what the message names, then continue:", command=resume)
    else:
        yield Fix(text="Continue this run:", command=resume)
    log = f"flowyml-aws logs {run_id} {shlex.quote(view.job.name)}"
    yield Fix(text="Read the whole log:", command=log)


def _resource(step: str, resource: str, amount: str) -> str:
    return f"--resources {shlex.quote(f'{step}={resource}={amount}')}"
