"""One attempt of a job, from its code to its commit."""

from __future__ import annotations

import sys
from pathlib import Path

from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.code import enter_code, enter_main, load_payload
from flowyml_aws.runtime.failures import describe_job_failure
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.log import show
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["run_job"]


def run_job(
    attempt: Attempt, folder: Path, interruption: Interruption, grace_s: float
) -> JobResult:
    """Restore the code, run the steps and commit the result, also that of a failure.

    Args:
        attempt: What to run.
        folder: An empty folder for the code and for assets that are files.
        interruption: Whether somebody asked the job to end.
        grace_s: Seconds that a step has to stop after its timeout.

    Raises:
        Interrupted: Somebody asked the job to end; nothing is committed.
        Exception: The result could not be written.
    """
    spec, store = attempt.spec, attempt.store
    roots = (folder / "code", Path(spec.code.root))
    try:
        _check_python(spec)
        if spec.layer is not None:
            # Not on top: most jobs have none, and start without it.
            from flowyml_aws.runtime.layer import enter_layer

            enter_layer(store, spec.layer, folder / "layer")
        root = enter_code(store, spec.code, folder / "code")
        payload = load_payload(store, spec.payload)
        enter_main(payload.steps.values(), spec.code, root)
        runner = JobRunner(
            attempt=attempt,
            steps=payload.steps,
            context=payload.context,
            roots=roots,
            scratch=folder / "assets",
            interruption=interruption,
            grace_s=grace_s,
        )
        succeeded = runner.run()
    except Exception as error:  # the store, the disk, the code, or a mistake of ours: told as such
        interruption.check()
        failure = describe_job_failure(error, roots)
        show(f"the job failed, and no step is to blame:\n{failure.traceback}")
        return attempt.commit("failed", failure)
    return attempt.commit("succeeded" if succeeded else "failed")


def _check_python(spec: JobSpec) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != spec.python:
        raise DamagedArtifactError(
            what=f"This job runs Python {here}, its steps were pickled by Python {spec.python}",
            why="pickled functions hold bytecode, which differs between minor versions",
            fix=f"use an image with Python {spec.python}, or run the client with Python {here}",
        )
