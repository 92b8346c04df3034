"""The place where schedules are executed: an emulated account, and the processes of clients."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from flowyml_aws.aws.names import batch_name, training_name
from flowyml_aws.aws.sagemaker_jobs import ATTEMPTS
from flowyml_aws.runtime.exit_codes import INTERRUPTED, STORE_OUTAGE
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import PREFIX
from flowyml_aws.testing.warm import WarmProcess, WarmStarter
from tests.chaos.schedule import Loss
from tests.chaos.waits import POLL_S, PROPAGATION_S, STOP_GRACE_S
from tests.support.rigs import CHECKOUT, HERMETIC, ambient, raised_emulator
from tests.support.shared_account import share_stores

__all__ = ["Stage", "open_stage"]

_QUEUES = ("cpu", "driver")
_WARM_HOST = "tests.chaos.warm_host"
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

    def start(
        self, name: str, order: Mapping[str, Any], project: Path, store: str | None
    ) -> WarmProcess:
        """Start a client in a project, with credentials of its own."""
        environment = _environment(self.folder)
        if self.aws is not None and store is not None:
            keys = self.aws.credentials(f"{PREFIX}-user")
            self.clients[keys["AWS_ACCESS_KEY_ID"]] = name
            environment |= {**self.aws.environment, **keys, "FLOWYML_AWS_STORE": store}
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

    def lost_attempts(self, run_id: str) -> Counter[str]:
        """Return how often each Batch job of a run has lost its host, by job.

        With an instance, all jobs on it are lost.
        """
        assert self.aws is not None
        batch = self.aws.client("batch")
        filters = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
        listed = batch.list_jobs(jobQueue=f"{PREFIX}-cpu", filters=filters)["jobSummaryList"]
        lost: Counter[str] = Counter()
        if listed:
            for job in batch.describe_jobs(jobs=[job["jobId"] for job in listed])["jobs"]:
                name = job["jobName"].removeprefix(f"{run_id}-")
                lost[name] += sum(map(_is_lost, job["attempts"]))
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
                billed[job] = billed.get(job, 0) + detail.get("BillableTimeInSeconds", 0)
        return billed

    def _running(self, run_id: str, job: str) -> Iterator[str]:
        assert self.aws is not None
        ids = self.aws.job_processes().keys()
        yield from _training_names(run_id, job) & ids
        if batch_ids := sorted(ids - self.aws.training_requests().keys()):
            described = self.aws.client("batch").describe_jobs(jobs=batch_ids)["jobs"]
            yield from (j["jobId"] for j in described if j["jobName"] == batch_name(run_id, job))

    def _unended(self, run_id: str) -> list[str]:
        if self.aws is None:
            return [f"process {pid}" for pid in _processes(run_id)]
        names = []
        batch = self.aws.client("batch")
        filters = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
        for queue in _QUEUES:
            listed = batch.list_jobs(jobQueue=f"{PREFIX}-{queue}", filters=filters)
            names += [
                f"Batch job {job['jobName']} ({job['status']})"
                for job in listed["jobSummaryList"]
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


def _training_names(run_id: str, job: str) -> set[str]:
    return {training_name(run_id, job, attempt) for attempt in range(1, ATTEMPTS + 1)}


def _processes(run_id: str) -> list[int]:
    """Return the runners of a run on this machine."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if run_id in " ".join(process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
