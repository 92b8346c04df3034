"""Entry point of the runner: read and verify the job spec, run the job, commit its result.

The exit code reports the outcome (see `exit_codes`).

Environment: `FLOWYML_ATTEMPT`, or Batch's `AWS_BATCH_JOB_ATTEMPT`, is the attempt number, from 1;
`AWS_BATCH_JOB_ARRAY_INDEX` is the index of a child of an array job;
`FLOWYML_ATTEMPTS_BEFORE` is the number of attempts before the job moved to its machine;
`FLOWYML_MOVES_ON` lists the causes of failures for which it moves to another one;
`FLOWYML_REPETITIONS` has the repetitions of the job, and of those whose assets it reads, by job;
`AWS_BATCH_JOB_ID` or SageMaker's `TRAINING_JOB_NAME` is the id of this copy of the job (see
`platform` and `claim`); `FLOWYML_USER` is the user of
an image whose containers start as root (see `user`); `FLOWYML_TIMEOUT_GRACE_S` is
the number of seconds that a step has to stop after its timeout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.core.imports import uncollected

with uncollected():
    from flowyml_aws.artifacts.layout import EVENTS, USAGE, RunLayout
    from flowyml_aws.core.errors import AwsUnavailableError, FlowymlError
    from flowyml_aws.core.nesting import enter_pipeline
    from flowyml_aws.job.store import open_prefixes, open_store, resolve_secret
    from flowyml_aws.runtime.attempt import Attempt
    from flowyml_aws.runtime.causes import Cause
    from flowyml_aws.runtime.commit import create_summary
    from flowyml_aws.runtime.exit_codes import (
        BAD_INPUT,
        INTERRUPTED,
        MOVES,
        NODE_LOST,
        SECOND_COPY,
        STEP_FAILED,
        STORE_OUTAGE,
        SUCCEEDED,
    )
    from flowyml_aws.runtime.heartbeat import start_heartbeat
    from flowyml_aws.runtime.interruption import Interrupted, Interruption, NodeLost
    from flowyml_aws.runtime.job import run_job
    from flowyml_aws.runtime.lingering import end_lingering_threads
    from flowyml_aws.runtime.log import say, show
    from flowyml_aws.runtime.meters.container import is_main_process
    from flowyml_aws.runtime.meters.machine import MachineMeter
    from flowyml_aws.runtime.platform import Platform
    from flowyml_aws.runtime.result import JobResult
    from flowyml_aws.runtime.spec import STORE_WAIT_S
    from flowyml_aws.runtime.specs import parse_argument
    from flowyml_aws.runtime.time_limit import GRACE_S
    from flowyml_aws.runtime.user import drop_root
    from flowyml_aws.scripts import PROGRAM_VARIABLE

if TYPE_CHECKING:
    from flowyml_aws.runtime.nodes.main_node import MainNode

_EVENTS_INTERVAL_S = 1.0
_LINGER_S = 300.0


def main(arguments: list[str]) -> int:
    """Run the job of a runner's argument (see `specs`), and return the exit code."""
    if len(arguments) != 1:
        say(
            "usage: python -m flowyml_aws.job "
            "<uri of a pack of specs>#sha256=<digest>,bytes=<offset>+<size>, "
            "or <uri of the index of an array>#sha256=<digest>"
        )
        return BAD_INPUT
    os.environ.pop(PROGRAM_VARIABLE, None)  # of a job that started this one
    interruption = Interruption()
    interruption.listen()
    platform = Platform()
    try:
        # As root: infra/ keeps the images' user from the instance metadata.
        platform = Platform.from_environment(os.environ)
        drop_root(os.environ)
        platform.report_folders()
        code = _run(arguments[0], interruption, platform)
        interruption.ignore()
    except NodeLost as error:
        say(f"{error}: the job ends without a result, and can run again")
        platform.report_failure(str(error))
        code = INTERRUPTED if interruption.requested else NODE_LOST
    except Interrupted:
        say("received a stop signal: exiting without a result; completed jobs keep theirs")
        code = INTERRUPTED
    except AwsUnavailableError as error:
        say(f"no step is to blame: the job ends without a result, and can run again\n{error}")
        platform.report_failure(str(error))
        code = INTERRUPTED if interruption.requested else STORE_OUTAGE
    except FlowymlError as error:
        say(f"the job failed without a result\n{error}")
        platform.report_failure(str(error))
        code = BAD_INPUT
    except BaseException:  # of any kind: an unknown error must not look like success
        say("the job failed without a result: unexpected error")
        show(report := traceback.format_exc())
        platform.report_failure(report[-1000:])  # the end contains the error
        code = BAD_INPUT
    end_lingering_threads(code, _LINGER_S)
    return code


def _run(argument: str, interruption: Interruption, platform: Platform) -> int:
    place = parse_argument(argument, os.environ)
    store = open_store(place.store, STORE_WAIT_S)
    spec = place.read(store)
    if spec.store_wait_s != STORE_WAIT_S:
        store = open_store(place.store, spec.store_wait_s)
    enter_pipeline(spec.pipeline)
    grace_s = float(os.environ.get("FLOWYML_TIMEOUT_GRACE_S") or GRACE_S)
    is_local = place.store.startswith("file://")
    job_nodes = None
    if any(step.has_other_processes for step in spec.steps):
        # Imported here: most jobs have one process, and start faster without these modules.
        from flowyml_aws.job.nodes import JobNodes

        job_nodes = JobNodes.of(spec, os.environ, is_local)
        if not job_nodes.identity.is_main:
            with _scratch_folder() as folder:
                return job_nodes.follow(store, platform, folder, grace_s)
    attempt = Attempt.begin(spec, store, platform.attempt, platform, open_prefixes)
    if (earlier := attempt.result_of(spec.job)) is not None:
        say(f"attempt {earlier.attempt} has already committed a result: nothing to do")
        create_summary(store, earlier, attempt.repetition)
        if earlier.reason is not None:
            platform.report_failure(earlier.reason)
        return _exit_code(earlier)
    if (holder := attempt.claim()) != platform.copy_id:
        say(f"{holder} has claimed this job: this copy of it, {platform.copy_id}, ends")
        return SECOND_COPY
    say(f"run {spec.run_id}, job {spec.job}, attempt {attempt.number}, {len(spec.steps)} step(s)")
    events = RunLayout(spec.run_id).attempt(spec.job, attempt.number, EVENTS)
    attempt.progress.start(store, events, _EVENTS_INTERVAL_S)
    usage = RunLayout(spec.run_id).attempt(spec.job, attempt.number, USAGE)
    fills_container = not is_local and is_main_process()
    attempt.sampler.start(store, usage, MachineMeter.of_job(fills_container))
    heartbeat = start_heartbeat(store, spec.run_id, spec.job, attempt.number) if is_local else None
    nodes: MainNode | None = None
    with _scratch_folder() as folder:
        try:
            if job_nodes is not None:
                nodes = job_nodes.lead(attempt, folder, argument, grace_s)
            outcome = run_job(attempt, folder, interruption, grace_s, resolve_secret, nodes)
            if nodes is not None:
                nodes.end()
            return _exit_code(outcome)
        finally:
            if nodes is not None:
                nodes.close()
            if heartbeat is not None:
                heartbeat.set()
            attempt.sampler.close()
            attempt.progress.close()


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    # Not a TemporaryDirectory: a process that a step forks would remove it when it exits.
    folder = Path(tempfile.mkdtemp(prefix="flowyml-aws-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the result is already written


def _exit_code(result: JobResult | Cause) -> int:
    if isinstance(result, Cause):
        return next(code for code, cause in MOVES.items() if cause is result)
    if result.state == "succeeded":
        return SUCCEEDED
    return BAD_INPUT if result.failure else STEP_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
