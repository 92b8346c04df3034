"""The part of the runner that reads the spec, runs the job and commits its result."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.artifacts.layout import EVENTS, USAGE, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore, ObjectReader
from flowyml_aws.core.nesting import enter_pipeline
from flowyml_aws.job.first_reads import FirstReads, ReadingAhead
from flowyml_aws.job.store import open_prefixes, open_store, resolve_secret
from flowyml_aws.runtime.argument import IndexArgument, SpecArgument
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.commit import create_summary
from flowyml_aws.runtime.exit_codes import BAD_INPUT, MOVES, SECOND_COPY, STEP_FAILED, SUCCEEDED
from flowyml_aws.runtime.heartbeat import start_heartbeat
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.job import run_job
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.meters.container import is_main_process
from flowyml_aws.runtime.meters.machine import MachineMeter
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.process_start import process_started_at
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.runtime.spec import STORE_WAIT_S
from flowyml_aws.runtime.specs import read_spec_at
from flowyml_aws.runtime.time_limit import GRACE_S
from flowyml_aws.runtime.usage import RunnerStart

if TYPE_CHECKING:
    from flowyml_aws.runtime.nodes.main_node import MainNode

__all__ = ["run"]

_EVENTS_INTERVAL_S = 1.0


def run(
    argument: str,
    place: SpecArgument | IndexArgument,
    reads: FirstReads | None,
    interruption: Interruption,
    platform: Platform,
) -> int:
    """Run the job of a spec, and return the exit code.

    Args:
        argument: Argument of the runner.
        place: Place of the spec in it.
        reads: Objects that are being read already; None if there are none.
        interruption: Stop request of the platform.
        platform: Platform that runs the container.

    Raises:
        Interrupted, NodeLost: The job was asked to stop, or has lost a node.
        FlowymlError: The job failed without a result.
    """
    start = RunnerStart(process_at=process_started_at(), imported_at=time.time())
    store = open_store(place.store, STORE_WAIT_S)
    spec = read_spec_at(_ahead(store, reads), place)
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
    attempt.sampler.start_of_runner = start
    usage = RunLayout(spec.run_id).attempt(spec.job, attempt.number, USAGE)
    fills_container = not is_local and is_main_process()
    attempt.sampler.start(store, usage, MachineMeter.of_job(fills_container))
    heartbeat = start_heartbeat(store, spec.run_id, spec.job, attempt.number) if is_local else None
    nodes: MainNode | None = None
    with _scratch_folder() as folder:
        try:
            if job_nodes is not None:
                nodes = job_nodes.lead(attempt, folder, argument, grace_s)
            code = _ahead(store, reads)
            outcome = run_job(attempt, folder, interruption, grace_s, resolve_secret, nodes, code)
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


def _ahead(store: ArtifactStore, reads: FirstReads | None) -> ObjectReader:
    return store if reads is None else ReadingAhead(store, reads)


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
