"""Jobs as SageMaker training jobs, each submitted after its parents have succeeded.

The name of a training job is derived from the run, the job and the attempt, and SageMaker accepts
a name only once. The service itself therefore prevents an attempt from running twice if two
clients submit it, or if a client dies between a call and its response. Existing training jobs are
found by listing names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.log_streams import read_nodes, read_streams
from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker.holds import TrainingHolds
from flowyml_aws.aws.sagemaker.jobs import (
    ATTEMPTS,
    active_status,
    bill_of,
    describe_training,
    final_status,
    find_training,
    has_ended,
    launches_without_result,
    list_training,
    status_after,
    times_of,
    times_of_summary,
)
from flowyml_aws.aws.sagemaker.limits import training_request_errors
from flowyml_aws.aws.sagemaker.location import TrainingLocation, read_location
from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.aws.sagemaker.requests import training_request
from flowyml_aws.aws.sagemaker.shell import open_training_session, open_training_shell
from flowyml_aws.aws.sagemaker.streams import streams_by_node
from flowyml_aws.aws.shell_sessions import not_running
from flowyml_aws.aws.unended import end_each, not_ended
from flowyml_aws.core.clock import sleep, uptime_s
from flowyml_aws.core.concurrency import SERVICE_CALLS, map_concurrently, map_to_completion
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine, ShellSession
from flowyml_aws.submission.bills import JobBills
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.record import Bill, RunRecord
from flowyml_aws.submission.times import JobTimes

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import (
        DescribeTrainingJobResponseTypeDef,
        TrainingJobSummaryTypeDef,
    )

__all__ = ["SageMakerBackend"]

_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_SETTLING_S = 60.0  # after a submission, until ListTrainingJobs returns the job


class SageMakerBackend:
    """Runs the jobs of one run as training jobs, one for each attempt."""

    def __init__(
        self,
        sagemaker: SageMakerClient,
        logs: CloudWatchLogsClient,
        store: ArtifactStore,
        record: RunRecord,
        plan: ExecutionPlan,
        options: TrainingOptions,
        poll_s: float,
        end_driver: Callable[[], Sequence[str]] = tuple,
        ssm: Callable[[], Any] = lambda: None,
        clock: Callable[[], float] = uptime_s,
    ) -> None:
        self._sagemaker = sagemaker
        self._logs = logs
        self._store = store
        self._record = record
        self._location = TrainingLocation.from_role(sagemaker.meta.region_name, options.role)
        self._options = options
        self._poll_s = poll_s
        self._end_driver = end_driver
        self._ssm = ssm
        self._clock = clock
        self._nodes = {job.name: job.needs.nodes for job in plan.jobs}
        self._names: dict[str, list[str]] = {}  # of a job's attempts since it moved last
        self._job_attempts: dict[str, tuple[str, int]] = {}  # by training job name
        self._is_location_stored = False
        self._active: dict[str, JobStatus] = {}  # by training job name, like the next seven
        self._ended: dict[str, JobStatus] = {}
        self._bills: dict[str, Bill | None] = {}
        self._lost: dict[str, tuple[EndedAttempt, ...]] = {}
        self._last: dict[str, EndedAttempt | None] = {}
        self._times: dict[str, JobTimes] = {}
        self._changed_at: dict[str, datetime] = {}
        self._submitted: dict[str, float] = {}
        self._without_bill: set[str] = set()  # although they have had an instance
        self._without_end: list[str] | None = None  # None before the first call of `bills`
        self._holds = TrainingHolds(sagemaker.meta.region_name, poll_s, clock)
        self._streams: dict[str, tuple[str, ...]] = {}
        self._finding_jobs = threading.Lock()
        self.move(plan)

    def move(self, plan: ExecutionPlan) -> None:
        """Use a plan in which jobs have moved: their attempts continue with new numbers."""
        self._on_spot = {job.name for job in plan.jobs if job.capacity == "spot"}
        for job in plan.jobs:
            attempts = range(1, ATTEMPTS * (job.moved + 1) + 1)
            names = [training_name(self._record.run_id, job.name, number) for number in attempts]
            self._names[job.name] = names[-ATTEMPTS:]
            self._job_attempts.update(
                (name, (job.name, number)) for name, number in zip(names, attempts, strict=True)
            )

    def withdraw(self, job: str) -> None:
        """Stop a job that waits for a machine, so that it can move.

        Raises:
            AwsRefusedError: AWS denied the call.
        """
        if (name := self._next_name(job)) is not None:
            self._stop(name)

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit the jobs whose parents succeeded, within the account's quotas.

        A job whose types all have a quota of 0 fails; see `statuses`.

        Raises:
            AwsRefusedError: AWS refused a job for another reason; the jobs before it run.
            SettingsError: AWS would refuse a job.
        """
        finished = set(succeeded)
        ready = [job for job in jobs if finished.issuperset(job.after)]
        if not ready:
            return
        self._check_location()
        if not self._is_location_stored:
            self._store.create(RunLayout(self._record.run_id).training, self._location.to_json())
            self._check_location()
        map_to_completion(self._submit_job, ready, limit=SERVICE_CALLS)

    def statuses(self) -> Mapping[str, JobStatus]:
        """Return the status of each job, with one ListTrainingJobs call for each 100 jobs.

        Raises:
            AwsRefusedError: AWS denied a call or returned an unknown state, or the run's jobs are
                in another account or region.
        """
        self._refresh()
        statuses: dict[str, JobStatus] = {}
        for job, names in self._names.items():
            attempts = {n: status for n in names if (status := self._status_of(n)) is not None}
            if attempts:
                lost = tuple(each for name in names for each in self._lost.get(name, ()))
                latest = next(reversed(attempts))
                last, times = self._last.get(latest), self._times.get(latest, JobTimes())
                status = status_after(tuple(attempts.values()))
                statuses[job] = replace(status, lost=lost, last=last, times=times)
        return self._holds.statuses(statuses)

    def is_active(self, jobs: Sequence[PlannedJob]) -> bool:
        """Return True at the first active job of a listing, which has 100 jobs for each call."""
        self._check_location()
        names = {job.name for job in jobs}
        active = (
            self._job_attempts.get(summary["TrainingJobName"])
            for summary in list_training(self._sagemaker, self._record.run_id)
            if not has_ended(summary)
        )
        return any(attempt is not None and attempt[0] in names for attempt in active)

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Return lines of the latest attempt, and of attempts that start after the first call.

        A job that spot capacity interrupts has one stream for each start, and a job of several
        nodes one for each node, whose lines begin with a label.
        """
        with self._finding_jobs:
            if not self._active and not self._ended:
                self._refresh()
        attempts = [n for n in self._names[job] if n in self._ended or n in self._active]
        streams: list[str] = []
        first = 0
        for name in attempts:
            first = len(streams)
            streams += self._streams_of(name, job)
        if first == len(streams):
            return [], cursor
        if self._nodes[job] > 1:
            return read_nodes(self._logs, job, streams_by_node(_LOG_GROUP, streams), cursor)
        return read_streams(self._logs, job, _LOG_GROUP, streams, cursor, first)

    def open_shell(self, job: str, node: int, shell: str) -> ShellSession:
        """Open a shell in the container of a job, with remote debugging. SageMaker selects it."""
        return open_training_shell(self._ssm(), self._shell_detail(job), job, node)

    def open_session(self, job: str, node: int, shell: str) -> ShellSession:
        """Open the session of a shell. The plugin that connects to it need not be installed."""
        return open_training_session(self._ssm(), self._shell_detail(job), job, node)

    def _shell_detail(self, job: str) -> DescribeTrainingJobResponseTypeDef:
        self._refresh()
        name = next((name for name in reversed(self._names[job]) if name in self._active), None)
        if name is None:
            raise not_running(job, "it has no training job that has not ended")
        return describe_training(self._sagemaker, name)

    def cancel(self, jobs: Sequence[PlannedJob]) -> Sequence[str]:
        """Stop jobs: each receives SIGTERM and has two minutes to exit.

        A job that another client has just submitted is stopped although it is not listed yet. The
        driver's job is terminated, too.

        Raises:
            AwsRefusedError: Some jobs could not be stopped; the others were.
        """
        self._refresh()
        names = {job.name for job in jobs}
        # A job whose parent has not ended has not been submitted.
        possible = [job.name for job in jobs if names.isdisjoint(job.after)]
        listed = {job for name, (job, _) in self._job_attempts.items() if name in self._active}
        next_names = [self._next_name(job) for job in dict.fromkeys((*possible, *(names & listed)))]
        stopping, refusals = self._stop_all([name for name in next_names if name is not None])
        self._refresh()
        late = [
            name
            for name in self._active
            if self._job_attempts[name][0] in names and name not in stopping | refusals.keys()
        ]
        more, late_refusals = self._stop_all(late)
        if refusals := {**refusals, **late_refusals}:
            raise not_ended(self._record.run_id, refusals, "SageMaker")
        return [*sorted((stopping | more) - self._ended.keys()), *self._end_driver()]

    def end_leftovers(self, finished: Collection[str]) -> Sequence[str]:
        """Terminate the driver's job. A training job is submitted only once its parents succeeded.

        Raises:
            AwsRefusedError: AWS denied a call.
        """
        return self._end_driver()

    def release(self) -> None:
        """No-op: submitted jobs continue without the client, other jobs wait for the next one."""

    def pause(self) -> None:
        """Sleep until the next poll."""
        sleep(self._poll_s)

    def bills(self) -> JobBills:
        """Return the bill of each job, summed over its attempts.

        One call per training job at first, and then one for each whose bill is awaited.
        """
        self._refresh()
        without_end = self._describe_unlisted_ends()
        unknown = [name for name in self._ended if self._bills.get(name) is None]
        details = map_concurrently(self._describe, unknown, limit=SERVICE_CALLS)
        for name, detail in zip(unknown, details, strict=True):
            self._note_costs(name, detail)
        bills: dict[str, Bill] = {}
        for name, (job, _) in self._job_attempts.items():
            if (bill := self._bills.get(name)) is not None:
                bills[job] = bill.after(bills.get(job))
        awaited = {*without_end, *self._without_bill}
        return JobBills(bills, frozenset(self._job_attempts[name][0] for name in awaited))

    def _refresh(self) -> None:
        """List the run's training jobs, and describe each unsuccessful one once.

        Those on managed spot capacity are described after each change of their state, which may be
        an interruption.
        """
        self._check_location()
        self._active = {}
        unsuccessful: list[str] = []
        changed: list[str] = []
        for summary in list_training(self._sagemaker, self._record.run_id):
            name = summary["TrainingJobName"]
            if name not in self._job_attempts or name in self._ended:
                continue
            job, attempt = self._job_attempts[name]
            if has_ended(summary) or name not in self._times:
                self._times[name] = times_of_summary(summary)
            if not has_ended(summary):
                self._active[name] = active_status(summary, attempt, job in self._on_spot)
                if job in self._on_spot and self._has_changed(summary):
                    changed.append(name)
            elif summary["TrainingJobStatus"] == "Completed":
                self._ended[name] = JobStatus(JobState.SUCCEEDED, attempt)
            else:
                unsuccessful.append(name)
        names = [*unsuccessful, *changed]
        details = map_concurrently(self._describe, names, limit=SERVICE_CALLS)
        for name, detail in zip(names, details, strict=True):
            if name in self._active:
                self._note_launches(name, detail)
            else:
                self._note_end(name, detail)

    def _has_changed(self, summary: TrainingJobSummaryTypeDef) -> bool:
        """Return whether the state of a training job is newer than that of the last call."""
        name, changed_at = summary["TrainingJobName"], summary["LastModifiedTime"]
        is_new = self._changed_at.get(name) != changed_at
        self._changed_at[name] = changed_at
        return is_new

    def _note_end(self, name: str, detail: DescribeTrainingJobResponseTypeDef) -> None:
        self._ended[name] = final_status(detail, self._job_attempts[name][1])
        self._note_costs(name, detail)

    def _note_costs(self, name: str, detail: DescribeTrainingJobResponseTypeDef) -> None:
        self._bills[name] = bill_of(detail)
        if self._bills[name] is None and "TrainingStartTime" in detail:
            self._without_bill.add(name)
        else:
            self._without_bill.discard(name)
        self._note_launches(name, detail)

    def _note_launches(self, name: str, detail: DescribeTrainingJobResponseTypeDef) -> None:
        _, attempt = self._job_attempts[name]
        self._lost[name], self._last[name] = launches_without_result(detail, attempt)
        self._times[name] = times_of(detail)

    def _describe_unlisted_ends(self) -> Sequence[str]:
        """Find the training jobs that have ended although their end is not listed yet.

        Return those that have not ended. Only the first call looks for all that may exist: the run
        has ended.
        """
        if self._without_end is None:
            following = map(self._next_name, self._names)
            # Attempts before a move are not among them.
            names = [*dict.fromkeys((*(name for name in following if name), *self._active))]
        else:
            names = [name for name in self._without_end if name not in self._ended]
        details = map_concurrently(
            lambda name: find_training(self._sagemaker, name), names, limit=SERVICE_CALLS
        )
        existing = [(n, d) for n, d in zip(names, details, strict=True) if d is not None]
        self._without_end = [name for name, detail in existing if not has_ended(detail)]
        for name, detail in existing:
            if has_ended(detail):
                self._note_end(name, detail)
        return self._without_end

    def _describe(self, name: str) -> DescribeTrainingJobResponseTypeDef:
        return describe_training(self._sagemaker, name)

    def _next_name(self, job: str) -> str | None:
        """Return the first training job of a job that is not known to have ended, if any.

        None once an attempt has ended for good.
        """
        for name in self._names[job]:
            status = self._ended.get(name)
            if status is None:
                return name
            if status.state is not JobState.LOST:
                return None
        return None

    def _submit_job(self, planned: PlannedJob) -> None:
        while (job := self._holds.open_types(planned)) is not None:
            if self._holds.is_waiting(job, len(self._ended)) or self._is_settled(job):
                return

    def _is_settled(self, job: PlannedJob) -> bool:
        """Submit a job. Return False if it should be submitted again with fewer types."""
        name = next(name for name in self._names[job.name] if name not in self._ended)
        _, attempt = self._job_attempts[name]
        request = training_request(job, attempt, self._record, self._store.uri, self._options)
        for problem in training_request_errors(request, job.name):
            raise problem
        try:
            self._sagemaker.create_training_job(**request)
        except ClientError as error:
            code = error_code(error)
            if code == "ResourceLimitExceeded":
                return not self._holds.refuse(job, error, len(self._ended))
            if code != "ResourceInUse":  # another client of this run has submitted the job
                raise refused(error, f"submit training job {name}") from error
        except BotoCoreError as error:
            raise refused(error, f"submit training job {name}") from error
        self._holds.accept(job)
        self._submitted[name] = self._clock()
        return True

    def _is_settling(self, name: str) -> bool:
        submitted_at = self._submitted.get(name)
        return submitted_at is not None and self._clock() - submitted_at < _SETTLING_S

    def _status_of(self, name: str) -> JobStatus | None:
        """Return the status of a training job, or None if it was not submitted."""
        status = self._ended.get(name) or self._active.get(name)
        if status is None and self._is_settling(name):
            return JobStatus(JobState.STARTING, self._job_attempts[name][1])
        return status

    def _stop_all(self, names: Sequence[str]) -> tuple[set[str], dict[str, AwsRefusedError]]:
        """Stop training jobs. Return those that are stopping, and the errors of the others."""
        stopping: set[str] = set()

        def stop(name: str) -> None:
            if self._stop(name):
                stopping.add(name)

        return stopping, end_each(names, stop)

    def _stop(self, name: str) -> bool:
        """Stop a training job. Return False if it has ended or does not exist."""
        try:
            self._sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            # SageMaker refuses to stop a job that has ended, or that does not exist.
            detail = find_training(self._sagemaker, name)
            if detail is not None and detail["TrainingJobStatus"] == "InProgress":
                raise refused(error, f"stop training job {name}") from error
            return detail is not None and not has_ended(detail)
        except BotoCoreError as error:
            raise refused(error, f"stop training job {name}") from error
        return True

    def _streams_of(self, name: str, job: str) -> tuple[str, ...]:
        """Return the log streams of a training job, one for each start, oldest first."""
        if name in self._streams:
            return self._streams[name]
        is_over = name in self._ended
        pages = self._logs.get_paginator("describe_log_streams")
        try:
            listed = [
                stream
                for page in pages.paginate(logGroupName=_LOG_GROUP, logStreamNamePrefix=f"{name}/")
                for stream in page["logStreams"]
            ]
        except self._logs.exceptions.ResourceNotFoundException:
            return ()  # no training job of this account has written logs yet
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"find the log of job {job!r}") from error
        listed.sort(key=lambda stream: stream.get("creationTime", 0))
        streams = tuple(stream["logStreamName"] for stream in listed)
        if is_over and streams:
            self._streams[name] = streams
        return streams

    def _check_location(self) -> None:
        """Check that the run's jobs are in this client's account and region.

        No-op after the first successful check.

        Raises:
            AwsRefusedError: The jobs are in another account or region.
        """
        if self._is_location_stored:
            return
        stored = read_location(self._store, self._record.run_id)
        if stored is not None:
            stored.check(self._location, self._record.run_id)
            self._is_location_stored = True
