"""The place where schedules are executed: an emulated account, and the processes of clients."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from flowyml_aws.aws.batch.batch_job import child_id
from flowyml_aws.aws.names import batch_name, training_name
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.aws.sagemaker.jobs import ATTEMPTS
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.runtime.exit_codes import INTERRUPTED, STORE_OUTAGE
from flowyml_aws.submission.moves import MAX_MOVES
from flowyml_aws.submission.record import read_record
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import PREFIX
from flowyml_aws.warm.starter import WarmProcess, WarmStarter
from tests.chaos.capacity import ON_DEMAND_QUEUE, SPOT_QUEUE, add_spot_queue
from tests.chaos.schedule import Loss
from tests.chaos.waits import POLL_S, PROPAGATION_S, STOP_GRACE_S
from tests.support.rigs import CHECKOUT, HERMETIC, ambient, raised_emulator
from tests.support.shared_account import share_stores

__all__ = ["Stage", "open_stage"]

_QUEUES = (SPOT_QUEUE, ON_DEMAND_QUEUE, f"{PREFIX}-driver")
_GAVE_UP = f"exit code: {STORE_OUTAGE}"
_MOST_SUBMISSIONS = 4 * MAX_MOVES
_WARM_HOST = "tests.support.warm_host"
_FASTER = "tests.chaos.faster"
_SITE = Path(__file__).with_name("site")


class Stage:
    """Starts clients, and finds the jobs that they have left.

    Attributes:
        aws: The emulated account, or None if there is only this machine.
        clients: Names of the clients by access key.
        expiries: Number of the call, by the name of a client, from which on its credentials have
            expired.
    """

    def __init__(self, folder: Path, aws: Emulator | None, starter: WarmStarter) -> None:
        self.folder = folder
        self.aws = aws
        self.clients: dict[str, str] = {}
        self.expiries: dict[str, int] = {}
        self._starter = starter
        self._store: S3ArtifactStore | None = None

    def start(
        self,
        name: str,
        order: Mapping[str, Any],
        project: Path,
        store: str | None,
        settings: Mapping[str, str],
    ) -> WarmProcess:
        """Start a client in a project, with credentials of its own and settings."""
        environment = _environment(self.folder)
        if self.aws is not None and store is not None:
            self._store = S3ArtifactStore.from_uri(self.aws.client("s3"), store)
            keys = self.aws.credentials(f"{PREFIX}-user")
            self.clients[keys["AWS_ACCESS_KEY_ID"]] = name
            environment |= {**self.aws.environment, **keys, "FLOWYML_AWS_STORE": store, **settings}
            environment["FLOWYML_AWS_POLL_S"] = f"{POLL_S:g}"
        with Path(order["outcome"]).with_suffix(".log").open("wb") as log:
            return self._starter.start([json.dumps(order)], environment, project, stdout=log)

    def lose(self, kind: Loss, run_id: str, job: str) -> bool:
        """End the container of a job. Return False if it has none at the moment."""
        assert self.aws is not None
        end = self.aws.lose_host if kind is Loss.HOST else self.aws.faults.exceed_memory
        for service_id in self._running(run_id, job):
            with suppress(LookupError, ValueError):
                end(service_id)
                return True
        return False

    def left_jobs(self, run_id: str, limit_s: float = 8.0) -> Sequence[str]:
        """Return the jobs and processes of a run that do not end within a limit."""
        deadline = time.monotonic() + limit_s
        while (left := self._unended(run_id)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def lost_attempts(self, run_id: str, jobs: Collection[str]) -> Counter[str]:
        """Return how often each job of a run has lost its host or given up on its store.

        With an instance of Batch, all jobs on it are lost. Hosts of training jobs are not counted.
        """
        assert self.aws is not None
        batch, sagemaker = self.aws.client("batch"), self.aws.client("sagemaker")
        names = self._job_names(run_id, jobs)
        lost: Counter[str] = Counter()
        listed = [job_id for summary in self._batch_jobs(run_id) for job_id in _ids(summary)]
        if listed:
            for detail in batch.describe_jobs(jobs=listed)["jobs"]:
                if (job := names.get(_place(detail))) is not None:
                    lost[job] += sum(map(_is_lost, detail["attempts"]))
        created = self.aws.training_requests().keys()
        for job in jobs:
            for name in _training_names(run_id, job) & created:
                detail = sagemaker.describe_training_job(TrainingJobName=name)
                lost[job] += detail.get("FailureReason", "").endswith(_GAVE_UP)
        return lost

    def service_billed_s(self, run_id: str, jobs: Sequence[str]) -> Mapping[str, int]:
        """Return the billed seconds of a run's training jobs, by job of the run."""
        billed: dict[str, int] = {}
        if self.aws is None:
            return billed
        client = self.aws.client("sagemaker")
        created = self.aws.training_requests().keys()
        for job in jobs:
            for name in _training_names(run_id, job) & created:
                detail = client.describe_training_job(TrainingJobName=name)
                if "BillableTimeInSeconds" in detail:  # it had an instance
                    billed[job] = billed.get(job, 0) + detail["BillableTimeInSeconds"]
        return billed

    def _running(self, run_id: str, job: str) -> Iterator[str]:
        assert self.aws is not None
        ids = self.aws.job_processes().keys()
        yield from _training_names(run_id, job) & ids
        if batch_ids := sorted(ids - self.aws.training_requests().keys()):
            described = self.aws.client("batch").describe_jobs(jobs=batch_ids)["jobs"]
            names = self._job_names(run_id, [job])
            yield from (each["jobId"] for each in described if names.get(_place(each)) == job)

    def _job_names(self, run_id: str, jobs: Collection[str]) -> dict[tuple[str, int | None], str]:
        """Return jobs of a run by their Batch job name, with the index in it if it is an array."""
        assert self._store is not None
        names: dict[tuple[str, int | None], str] = {
            (name, None): job for job in jobs for name in _batch_names(run_id, job)
        }
        with suppress(RunNotFoundError):  # it was collected
            for array in read_record(self._store, run_id).arrays:
                for name in _batch_names(run_id, f"{array.jobs[0]}.array"):
                    names.update(((name, index), job) for index, job in enumerate(array.jobs))
        return names

    def _batch_jobs(self, run_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield the summary of every Batch job of a run."""
        assert self.aws is not None
        filters = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
        for queue in _QUEUES:
            listed = self.aws.client("batch").list_jobs(jobQueue=queue, filters=filters)
            yield from listed["jobSummaryList"]

    def _unended(self, run_id: str) -> list[str]:
        if self.aws is None:
            return [f"process {pid}" for pid in _processes(run_id)]
        names = [
            f"Batch job {job['jobName']} ({job['status']})"
            for job in self._batch_jobs(run_id)
            if job["status"] not in ("SUCCEEDED", "FAILED")
        ]
        sagemaker = self.aws.client("sagemaker")
        for name in self.aws.training_requests():
            if name.startswith(run_id):
                status = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
                if status in ("InProgress", "Stopping"):
                    names.append(f"training job {name} ({status})")
        return names


@contextmanager
def open_stage(*, with_account: bool) -> Iterator[Stage]:
    """Open a stage with a new emulated account, or with only this machine."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        aws = None
        if with_account:
            aws = stack.enter_context(
                raised_emulator(
                    propagation_s=PROPAGATION_S,
                    stop_grace_s=STOP_GRACE_S,
                    training_stop_grace_s=STOP_GRACE_S,
                    warm_imports=[_FASTER],
                )
            )
            add_spot_queue(aws)
            share_stores()
        starter = WarmStarter(_environment(folder), "tests.chaos.client", [_WARM_HOST, _FASTER])
        stack.callback(starter.stop)
        yield Stage(folder, aws, starter)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in os.environ.keys() - ambient()}
    return {
        **kept,
        **HERMETIC,
        "PYTHONPATH": f"{_SITE}{os.pathsep}{CHECKOUT}",
        "PYTHONFAULTHANDLER": "1",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def _is_lost(attempt: Mapping[str, Any]) -> bool:
    reason = attempt.get("statusReason", "")
    codes = (INTERRUPTED, STORE_OUTAGE)
    return reason.startswith("Host EC2") or attempt["container"].get("exitCode") in codes


def _ids(summary: Mapping[str, Any]) -> list[str]:
    """Return the id of a listed job; those of its children if it is an array."""
    size = summary.get("arrayProperties", {}).get("size", 0)
    return [child_id(summary["jobId"], n) for n in range(size)] or [summary["jobId"]]


def _place(detail: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the name of a job, and its index if it is the child of an array."""
    return detail["jobName"], detail.get("arrayProperties", {}).get("index")


def _training_names(run_id: str, job: str) -> set[str]:
    attempts = range(1, ATTEMPTS * (MAX_MOVES + 1) + 1)
    return {training_name(run_id, job, attempt) for attempt in attempts}


def _batch_names(run_id: str, job: str) -> set[str]:
    """Return the names of a job at Batch: it is submitted again if it or one before it moves."""
    again = range(1, _MOST_SUBMISSIONS)
    names = {batch_name(run_id, f"{job}.submission.{number}") for number in again}
    return {batch_name(run_id, job), *names}


def _processes(run_id: str) -> list[int]:
    """Return the runners of a run on this machine."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if run_id in " ".join(process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
