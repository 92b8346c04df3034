"""Jobs as SageMaker training jobs, each submitted once those before it are done.

The names of training jobs are made from the run, the job and the attempt, and SageMaker takes a
name once. So it is the service itself that keeps two clients, or one that was killed between a
call and its answer, from running an attempt twice; and what is there is found by listing names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.log_streams import read_streams
from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker_jobs import (
    ATTEMPTS,
    bill_of,
    describe_training,
    has_ended,
    list_training,
    status_of_end,
    status_of_going,
)
from flowyml_aws.aws.sagemaker_limits import refused_training
from flowyml_aws.aws.sagemaker_place import TrainingPlace, read_place
from flowyml_aws.aws.sagemaker_requests import training_request
from flowyml_aws.aws.sagemaker_terms import TrainingTerms
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine
from flowyml_aws.submission.record import Bill, RunRecord

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient

__all__ = ["SageMakerBackend"]

_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_CALLERS = 8
_SETTLES_S = 60.0  # then ListTrainingJobs knows what was submitted
_QUOTA_ROUNDS = 10  # between two tries, where nothing has ended that would make room


@dataclass(frozen=True, slots=True)
class _Full:
    """A quota that left no room.

    Attributes:
        at: Seconds since the epoch.
        ended: Training jobs of the run that had ended by then.
    """

    at: float
    ended: int
    reason: str


class SageMakerBackend:
    """Runs the jobs of one run as training jobs, one for each attempt."""

    def __init__(
        self,
        sagemaker: SageMakerClient,
        logs: CloudWatchLogsClient,
        store: ArtifactStore,
        record: RunRecord,
        plan: ExecutionPlan,
        terms: TrainingTerms,
        poll_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sagemaker = sagemaker
        self._logs = logs
        self._store = store
        self._record = record
        self._place = TrainingPlace.of(sagemaker.meta.region_name, terms.role)
        self._terms = terms
        self._poll_s = poll_s
        self._clock = clock
        self._names = {
            job.name: [training_name(record.run_id, job.name, n + 1) for n in range(ATTEMPTS)]
            for job in plan.jobs
        }
        self._meant = {
            name: (job, attempt)
            for job, names in self._names.items()
            for attempt, name in enumerate(names, 1)
        }
        self._is_noted = False
        self._going: dict[str, JobStatus] = {}  # by name on SageMaker, as the rest
        self._ended: dict[str, JobStatus] = {}
        self._bills: dict[str, Bill | None] = {}
        self._submitted: dict[str, float] = {}
        self._full: dict[tuple[str, ...], _Full] = {}
        self._held: dict[str, str] = {}  # by name in the plan: why it was not submitted
        self._streams: dict[str, tuple[str, ...]] = {}

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit the jobs whose parents succeeded, as far as the account's quotas go.

        Raises:
            AwsRefusedError: AWS refused a job for another reason; the ones before it run.
            SettingsError: It would refuse it.
        """
        done = set(succeeded)
        ready = [job for job in jobs if done.issuperset(job.after)]
        if not ready:
            return
        self._check_place()
        if not self._is_noted:
            self._store.create(RunLayout(self._record.run_id).training, self._place.to_json())
            self._check_place()
        with ThreadPoolExecutor(_CALLERS) as pool:
            try:
                list(pool.map(self._start, ready))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def statuses(self) -> Mapping[str, JobStatus]:
        """One call of ListTrainingJobs for each 100 jobs of the run.

        Raises:
            AwsRefusedError: AWS denied a call or told a state that nobody knows, or the run's
                jobs are in another account or region.
        """
        self._look()
        told: dict[str, JobStatus] = {}
        for name, (job, attempt) in self._meant.items():  # the newest of each job comes last
            status = self._ended.get(name) or self._going.get(name)
            if status is None and self._is_settling(name):
                status = JobStatus(JobState.STARTING, attempt)
            if status is not None:
                told[job] = status
        for job, reason in list(self._held.items()):
            status = told.get(job, JobStatus(JobState.LOST))
            if status.state is JobState.LOST:
                told[job] = JobStatus(JobState.LOST, status.attempt, reason)
            else:  # another client found room for it
                del self._held[job]
        return told

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Lines of the newest attempt, and of those that begin after the first call.

        Each start of a job that spot capacity interrupts has a stream of its own.
        """
        if not self._going and not self._ended:
            self._look()
        attempts = [n for n in self._names[job] if n in self._ended or n in self._going]
        streams: list[str] = []
        first = 0
        for name in attempts:
            first = len(streams)
            streams += self._streams_of(name, job)
        if first == len(streams):
            return [], cursor
        return read_streams(self._logs, job, _LOG_GROUP, streams, cursor, first)

    def cancel(self, jobs: Sequence[PlannedJob]) -> None:
        """Stop jobs: each gets a SIGTERM and has two minutes to end."""
        self._look()
        wanted = {job.name for job in jobs}
        going = [
            name
            for name, (job, _) in self._meant.items()
            if job in wanted and (name in self._going or self._is_settling(name))
        ]
        with ThreadPoolExecutor(_CALLERS) as pool:
            list(pool.map(self._stop, going))

    def release(self) -> None:
        """Nothing: what was submitted goes on without the client, the rest waits for the next."""

    def pause(self) -> None:
        """Until the next poll."""
        time.sleep(self._poll_s)

    def bills(self) -> Mapping[str, Bill]:
        """What each job is billed for, its attempts together; a call for each training job."""
        self._look()
        unknown = [name for name in self._ended if self._bills.get(name) is None]
        with ThreadPoolExecutor(_CALLERS) as pool:
            told = pool.map(lambda name: describe_training(self._sagemaker, name), unknown)
            self._bills.update(zip(unknown, map(bill_of, told), strict=True))
        found: dict[str, Bill] = {}
        for name, (job, _) in self._meant.items():
            if (bill := self._bills.get(name)) is not None:
                found[job] = bill.after(found.get(job))
        return found

    def _look(self) -> None:
        """List the run's training jobs; of those that ended badly, ask for the reason once."""
        self._check_place()
        self._going = {}
        bad: list[str] = []
        for summary in list_training(self._sagemaker, self._record.run_id):
            name = summary["TrainingJobName"]
            if name not in self._meant or name in self._ended:
                continue
            _, attempt = self._meant[name]
            if not has_ended(summary):
                self._going[name] = status_of_going(summary, attempt)
            elif summary["TrainingJobStatus"] == "Completed":
                self._ended[name] = JobStatus(JobState.SUCCEEDED, attempt)
            else:
                bad.append(name)
        with ThreadPoolExecutor(_CALLERS) as pool:
            reasons = pool.map(lambda name: describe_training(self._sagemaker, name), bad)
            for name, told in zip(bad, reasons, strict=True):
                self._ended[name] = status_of_end(told, self._meant[name][1])
                self._bills[name] = bill_of(told)

    def _start(self, job: PlannedJob) -> None:
        types = _types(job)
        if (full := self._full.get(types)) is not None:
            waited_s = self._clock() - full.at
            if len(self._ended) == full.ended and waited_s < _QUOTA_ROUNDS * self._poll_s:
                self._held[job.name] = full.reason
                return
        name = next(name for name in self._names[job.name] if name not in self._ended)
        _, attempt = self._meant[name]
        request = training_request(job, attempt, self._record, self._store.uri, self._terms)
        for problem in refused_training(request, job.name):
            raise problem
        try:
            self._sagemaker.create_training_job(**request)
        except ClientError as error:
            code = error_code(error)
            if code == "ResourceLimitExceeded":
                full = _Full(at=self._clock(), ended=len(self._ended), reason=_quota(error))
                self._full[types], self._held[job.name] = full, full.reason
                return
            if code != "ResourceInUse":  # the name is this run's, so the job is, too
                raise refused(error, f"submit training job {name}") from error
        except BotoCoreError as error:
            raise refused(error, f"submit training job {name}") from error
        self._full.pop(types, None)
        self._held.pop(job.name, None)
        self._submitted[name] = self._clock()

    def _is_settling(self, name: str) -> bool:
        at = self._submitted.get(name)
        return at is not None and self._clock() - at < _SETTLES_S

    def _stop(self, name: str) -> None:
        try:
            self._sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            # It may have ended since it was listed; then SageMaker refuses to stop it.
            told = describe_training(self._sagemaker, name)
            if told["TrainingJobStatus"] == "InProgress":
                raise refused(error, f"stop training job {name}") from error
        except BotoCoreError as error:
            raise refused(error, f"stop training job {name}") from error

    def _streams_of(self, name: str, job: str) -> tuple[str, ...]:
        """The log streams of a training job, one for each time that it was started."""
        if name in self._streams:
            return self._streams[name]
        is_over = name in self._ended
        pages = self._logs.get_paginator("describe_log_streams")
        try:
            found = [
                stream
                for page in pages.paginate(logGroupName=_LOG_GROUP, logStreamNamePrefix=f"{name}/")
                for stream in page["logStreams"]
            ]
        except self._logs.exceptions.ResourceNotFoundException:
            return ()  # no training job of the account has printed anything yet
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"find the log of job {job!r}") from error
        found.sort(key=lambda stream: stream.get("creationTime", 0))
        streams = tuple(stream["logStreamName"] for stream in found)
        if is_over and streams:
            self._streams[name] = streams
        return streams

    def _check_place(self) -> None:
        """See, until it is known, that the run's jobs are where this client looks for them.

        Raises:
            AwsRefusedError: They are elsewhere.
        """
        if self._is_noted:
            return
        noted = read_place(self._store, self._record.run_id)
        if noted is not None:
            noted.check(self._place, self._record.run_id)
            self._is_noted = True


def _types(job: PlannedJob) -> tuple[str, ...]:
    """What a quota is about: the types that a job may get, and whether on spot capacity."""
    return (job.capacity, *(offer.instance_type for offer in job.offers))


def _quota(error: ClientError) -> str:
    message = error.response.get("Error", {}).get("Message", "")
    return f"the account's quota leaves no room, it waits: {message}"
