"""Jobs on AWS Batch: submitted all at once, so that the laptop can leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.batch_definition import JobImage, ensure_definition, shared_memory_mib
from flowyml_aws.aws.batch_jobs import JobLog, describe_jobs, log_of, status_of
from flowyml_aws.aws.batch_requests import BatchJob, batch_jobs, levels, submit_request
from flowyml_aws.aws.diagnosis import Queued, RunnableDiagnosis, summary
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.log_streams import read_streams
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_logs import CloudWatchLogsClient

__all__ = ["BatchBackend"]

_CALLERS = 8  # Batch takes 50 submissions a second
_NOTED_EVERY = 100  # jobs
_SILENCE_S = 60.0  # then a client that submits is taken for dead
_SETTLES_S = 60.0  # then DescribeJobs knows what was submitted
# "at least 7 days": https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
_REMEMBERED_S = 7 * 24 * 3600


class _Submission(Document):
    """What one client submits of a run, noted while it does.

    Attributes:
        state: `left` where it gave up, so that another one need not wait.
        written_at: Seconds since the epoch.
        job_ids: By name on Batch.
    """

    version: Literal[1] = 1
    state: Literal["going", "left", "complete"]
    written_at: float
    job_ids: dict[str, str]


class BatchBackend:
    """Runs the jobs of one run as AWS Batch jobs, one each."""

    def __init__(
        self,
        batch: BatchClient,
        logs: CloudWatchLogsClient,
        store: ArtifactStore,
        record: RunRecord,
        plan: ExecutionPlan,
        image: JobImage,
        poll_s: float,
        diagnosis: RunnableDiagnosis,
        tags: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._batch = batch
        self._logs = logs
        self._store = store
        self._record = record
        self._layout = RunLayout(record.run_id)
        self._image = image
        self._poll_s = poll_s
        self._diagnosis = diagnosis
        self._tags = tags or {}
        self._clock = clock
        self._jobs = batch_jobs(plan, record, store.uri)
        self._needs = {job.name: job.needs for job in plan.jobs}
        self._name = {job.planned: job.name for job in self._jobs if not job.is_join}
        self._latest: tuple[int, _Submission | None] = (0, None)
        self._ids: dict[str, str] = {}
        self._ended: dict[str, JobStatus] = {}
        self._log_of: dict[str, JobLog] = {}

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit every job, each to run after its parents; those of an earlier call are found.

        Does nothing while another client is at it.

        Raises:
            AwsRefusedError: AWS refused a job; the ones before it run, a second call goes on.
        """
        self._learn()
        number, earlier = self._latest
        if earlier is not None and self._is_at_it(earlier):
            return
        if not self._store.create(self._layout.submission(number + 1), self._noted("going")):
            return
        try:
            if earlier is not None:
                # It may have died between a submission and its note: names tell.
                self._ids.update(self._found_by_name())
            wanted = {job.name for job in jobs}
            there = {self._name[job] for job in succeeded if job in self._name}
            missing = [j for j in self._jobs if j.planned in wanted and j.name not in self._ids]
            self._submit_all(missing, there, number + 1)
        except BaseException:
            with suppress(FlowymlError):  # the first error counts
                self._store.put(self._layout.submission(number + 1), self._noted("left"))
            raise
        self._store.put(self._layout.submission(number + 1), self._noted("complete"))

    def statuses(self) -> Mapping[str, JobStatus]:
        """One call of DescribeJobs for each 100 jobs that have not ended.

        A job that is queued for long is told with the reason, where one is found.

        Raises:
            AwsRefusedError: AWS denied the call, does not know a job that it must know, or told
                a state that nobody knows.
        """
        self._learn()
        open_jobs = {
            self._ids[name]: job
            for job, name in self._name.items()
            if name in self._ids and job not in self._ended
        }
        told: dict[str, JobStatus] = {}
        queued: dict[str, Queued] = {}
        for detail in describe_jobs(self._batch, list(open_jobs)):
            job = open_jobs[detail["jobId"]]
            told[job] = status_of(detail)
            self._log_of[job] = log_of(detail)
            if told[job].state is JobState.QUEUED:
                queued[job] = Queued(detail, self._needs[job])
        for job, found in self._diagnosis.watch(queued).items():
            told[job] = replace(told[job], reason=summary(found))
        for job in open_jobs.values():
            if job not in told:
                told[job] = self._status_of_unknown(job)
        self._ended.update({job: status for job, status in told.items() if status.state.ended})
        return {**self._ended, **told}

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        """Why jobs that are queued do not start, as one look tells; empty for those it can't tell.

        Raises:
            AwsRefusedError: AWS denied to describe the jobs.
        """
        self._learn()
        ids = {self._ids[name]: job for job, name in self._name.items() if name in self._ids}
        queued = {
            (job := ids[detail["jobId"]]): Queued(detail, self._needs[job])
            for detail in describe_jobs(self._batch, list(ids))
            if detail["status"] == "RUNNABLE"
        }
        return self._diagnosis.look(queued)

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Lines of the newest attempt, and of those that begin after the first call."""
        log = self._find_log(job)
        if not log.streams:
            return [], cursor
        return read_streams(
            self._logs, job, log.group, log.streams, cursor, first=len(log.streams) - 1
        )

    def cancel(self, jobs: Sequence[PlannedJob]) -> None:
        """Terminate jobs; CancelJob would do nothing from STARTING on."""
        self._learn()
        _, latest = self._latest
        if latest is not None and latest.state != "complete":
            self._ids.update(self._found_by_name())
        order = {job.name: position for position, job in enumerate(jobs)}
        wanted = [job for job in self._jobs if job.planned in order and job.name in self._ids]
        wanted.sort(key=lambda job: order[job.planned])
        with ThreadPoolExecutor(_CALLERS) as pool:
            list(pool.map(self._terminate, wanted))

    def release(self) -> None:
        """Nothing: the jobs go on without the client."""

    def pause(self) -> None:
        """Until the next poll."""
        time.sleep(self._poll_s)

    def _submit_all(self, jobs: Sequence[BatchJob], succeeded: Collection[str], note: int) -> None:
        if jobs and not self._image.image:
            raise SettingsError(
                what="Setting `image` is missing",
                why=f"{len(jobs)} jobs of run {self._record.run_id} are not submitted yet",
                fix="set image in flowyml-aws.toml or FLOWYML_AWS_IMAGE, and attach again",
            )
        sizes = {shared_memory_mib(job.needs.memory_mib) for job in jobs}
        definitions = {size: ensure_definition(self._batch, self._image, size) for size in sizes}

        def submit(job: BatchJob) -> None:
            parents = [self._ids[parent] for parent in job.after if parent not in succeeded]
            request = submit_request(
                job,
                self._record,
                definitions[shared_memory_mib(job.needs.memory_mib)],
                parents,
                {"PYTHONUNBUFFERED": "1", "AWS_DEFAULT_REGION": self._batch.meta.region_name},
                self._tags,
            )
            try:
                self._ids[job.name] = self._batch.submit_job(**request)["jobId"]
            except (ClientError, BotoCoreError) as error:
                doing = f"submit job {job.planned!r} to queue {job.queue!r}"
                raise refused(error, doing) from error

        with ThreadPoolExecutor(_CALLERS) as pool:
            try:
                for level in levels(jobs):
                    for at in range(0, len(level), _NOTED_EVERY):
                        list(pool.map(submit, level[at : at + _NOTED_EVERY]))
                        self._store.put(self._layout.submission(note), self._noted("going"))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _is_at_it(self, submission: _Submission) -> bool:
        silence_s = self._clock() - submission.written_at
        return submission.state == "going" and silence_s < _SILENCE_S

    def _terminate(self, job: BatchJob) -> None:
        try:
            self._batch.terminate_job(
                jobId=self._ids[job.name], reason="cancelled by the user of flowyml-aws"
            )
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"terminate job {job.planned!r}") from error

    def _found_by_name(self) -> dict[str, str]:
        ours = {job.name for job in self._jobs}
        found: dict[str, str] = {}
        pages = self._batch.get_paginator("list_jobs")
        prefix = f"{self._record.run_id}-*"
        for queue in sorted({job.queue for job in self._jobs}):
            try:
                for page in pages.paginate(
                    jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [prefix]}]
                ):
                    for job in page["jobSummaryList"]:
                        if job["jobName"] in ours:
                            found[job["jobName"]] = job["jobId"]
            except (ClientError, BotoCoreError) as error:
                raise refused(error, f"list the jobs of queue {queue!r}") from error
        return found

    def _noted(self, state: Literal["going", "left", "complete"]) -> bytes:
        note = _Submission(state=state, written_at=self._clock(), job_ids=dict(self._ids))
        return note.to_json()

    def _learn(self) -> None:
        """Read what was submitted, until that is all.

        Jobs that wait for one elsewhere are submitted later than others.
        """
        number, latest = self._latest
        if latest is not None and latest.state == "complete" and len(self._ids) == len(self._jobs):
            return
        number = max(map(_number, self._store.children(self._layout.submissions)), default=0)
        if number:
            key = self._layout.submission(number)
            latest = read_document(_Submission, self._store.get(key), f"{self._store.uri}/{key}")
            self._ids.update(latest.job_ids)
            self._latest = number, latest

    def _status_of_unknown(self, job: str) -> JobStatus:
        _, latest = self._latest
        age_s = self._clock() - latest.written_at if latest else 0.0
        if age_s < _SETTLES_S:
            return JobStatus(JobState.WAITING)
        if age_s > _REMEMBERED_S:
            return JobStatus(
                JobState.FAILED, 0, "AWS Batch has forgotten this job, and it left no result"
            )
        raise AwsRefusedError(
            what=f"AWS Batch does not know job {job!r} of run {self._record.run_id}",
            why=f"it was submitted, but is not in {self._batch.meta.region_name} of this account",
            fix="set AWS_REGION and AWS_PROFILE to those that the run was started with",
        )

    def _find_log(self, job: str) -> JobLog:
        # `statuses` has asked for the jobs that go on, a hundred in one call.
        known = self._log_of.get(job) if job in self._ended else self._log_of.pop(job, None)
        if known is not None:
            return known
        self._learn()
        if self._name[job] in self._ids:
            for detail in describe_jobs(self._batch, [self._ids[self._name[job]]]):
                return log_of(detail)
        return JobLog(self._image.log_group, ())


def _number(name: str) -> int:
    return int(name.removesuffix(".json"))
