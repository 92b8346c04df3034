"""The program inside the job: read the spec, check it, run it, commit, exit with a telling code."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError, FlowymlError
from flowyml_aws.runtime.code import enter_code, load_payload
from flowyml_aws.runtime.events import Progress
from flowyml_aws.runtime.exit_codes import BAD_INPUT, INTERRUPTED, STEP_FAILED, SUCCEEDED
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.runtime.runner import JobRunner, describe_bad_input, say
from flowyml_aws.runtime.spec import JobSpec

_EVENTS_EVERY_S = 1.0


class Interrupted(BaseException):
    """The platform asks the job to end."""


def main(argument: str) -> int:
    """Run the job of `<uri of a JobSpec>#sha256=<digest>` and return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(argument)
    except FlowymlError as error:
        say(f"this job could not start\n{error}")
        return BAD_INPUT
    except Interrupted:
        say("told to stop (SIGTERM): ending without a result, finished jobs keep theirs")
        return INTERRUPTED


def _run(argument: str) -> int:
    uri, _, digest = argument.partition("#sha256=")
    # <store>/runs/<run id>/jobs/<job>/spec.json
    store = _open_store("/".join(uri.split("/")[:-5]))
    spec = _read_spec(store, uri, digest)
    key = RunLayout(spec.run_id).result(spec.job)
    if (earlier := _earlier_result(store, key)) is not None:
        say(f"attempt {earlier.attempt} has committed a result already: nothing to do")
        return _exit_code(earlier)
    attempt = int(os.environ.get("AWS_BATCH_JOB_ATTEMPT") or os.environ.get("FLOWYML_ATTEMPT", "1"))
    say(f"run {spec.run_id}, job {spec.job}, attempt {attempt}, {len(spec.steps)} step(s)")
    progress = Progress([step.name for step in spec.steps], attempt)
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-") as folder:
        runner = JobRunner(
            spec=spec,
            store=store,
            steps={},
            context={},
            attempt=attempt,
            root=None,
            scratch=Path(folder, "assets"),
            progress=progress,
        )
        try:
            _check_python(spec)
            runner.root = enter_code(store, spec.code, Path(folder, "code"))
            payload = load_payload(store, spec.payload)
        except FlowymlError as error:
            runner.commit("failed", describe_bad_input(error))
            raise
        runner.steps, runner.context = payload.steps, payload.context
        events = RunLayout(spec.run_id).attempt(spec.job, attempt, "events.json")
        progress.start(store, events, _EVENTS_EVERY_S, say)
        try:
            return _exit_code(runner.run())
        finally:
            progress.close()


def _open_store(uri: str) -> ArtifactStore:
    if uri.startswith("file://"):
        from flowyml_aws.local.directory import DirectoryArtifactStore

        return DirectoryArtifactStore.from_uri(uri)
    import boto3

    from flowyml_aws.aws.s3 import S3ArtifactStore

    return S3ArtifactStore.from_uri(boto3.client("s3"), uri)


def _read_spec(store: ArtifactStore, uri: str, digest: str) -> JobSpec:
    data = store.get(uri.removeprefix(f"{store.uri}/"))
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise DamagedArtifactError(
            what=f"{uri} is not the spec that was submitted",
            why=f"its SHA-256 is {found}, the job's argument says {digest or '(nothing)'}",
            fix="run the pipeline again; nothing was unpickled",
        )
    return read_document(JobSpec, data, uri)


def _earlier_result(store: ArtifactStore, key: str) -> JobResult | None:
    try:
        return read_document(JobResult, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None


def _check_python(spec: JobSpec) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != spec.python:
        raise DamagedArtifactError(
            what=f"This job runs Python {here}, its steps were pickled by Python {spec.python}",
            why="pickled functions hold bytecode, which differs between minor versions",
            fix=f"use an image with Python {spec.python}, or run the client with Python {here}",
        )


def _exit_code(result: JobResult) -> int:
    if result.state == "succeeded":
        return SUCCEEDED
    return BAD_INPUT if result.failure else STEP_FAILED


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
