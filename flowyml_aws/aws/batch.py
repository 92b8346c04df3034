"""AWS Batch backend: submits all jobs of a run at once, so that the client can exit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.batch_definition import JobImage, ensure_definition, shared_memory_mib
from flowyml_aws.aws.batch_jobs import JobLog, describe_jobs, list_job_ids, log_of, status_of
from flowyml_aws.aws.batch_requests import BatchJob, batch_jobs, levels, submit_request
from flowyml_aws.aws.batch_submission import Submission
from flowyml_aws.aws.diagnosis import Queued, RunnableDiagnosis, summary
from flowyml_aws.aws.errors import may_have_arrived, refused
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

_MAX_CONCURRENT_CALLS = 8  # Batch accepts 50 submissions per second
_JOBS_PER_NOTE = 100
_VISIBLE_AFTER_S = 60.0  # by then, DescribeJobs knows a submitted job
# "at least 7 days": https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
_RETENTION_S = 7 * 24 * 3600


class BatchBackend:
    """Backend that runs each job of a run as an AWS Batch job."""

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
        self._jobs = batch_jobs(plan, record, store.uri, batch.meta.region_name)
        self._needs = {job.name: job.needs for job in plan.jobs}
        self._batch_names = {job.planned: job.name for job in self._jobs if not job.is_join}
        self._latest: tuple[int, Submission | None] = (0, None)
        self._ids: dict[str, str] = {}
        self._unanswered: set[str] = set()  # Batch job names that may have been submitted
        self._ended: dict[str, JobStatus] = {}
        self._job_logs: dict[str, JobLog] = {}

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit every job to run after its parents; a job that exists on Batch is not repeated.

        No-op while another client is submitting this run.

        Raises:
            AwsRefusedError: AWS refused a job. Those submitted before it keep running, and a
                second call submits the rest.
        """
        self._load_submission()
        number, previous = self._latest
        if previous is not None and previous.holds_lease(self._clock()):
            return
        if not self._store.create(
            self._layout.submission(number + 1), self._submission_json("going")
        ):
            return
        try:
            if previous is not None:
                # The previous client may have died before it noted a job.
                self._look_up_jobs_of(previous)
            requested = {job.name for job in jobs}
            succeeded_names = {
                self._batch_names[job] for job in succeeded if job in self._batch_names
            }
            missing = [j for j in self._jobs if j.planned in requested and j.name not in self._ids]
            self._submit_all(missing, succeeded_names, number + 1)
        except BaseException:
            if not self._unanswered:
                with suppress(FlowymlError):  # the first error is the one to report
                    key = self._layout.submission(number + 1)
                    self._store.put(key, self._submission_json("left"))
            raise
        self._store.put(self._layout.submission(number + 1), self._submission_json("complete"))

    def statuses(self) -> Mapping[str, JobStatus]:
        """Poll the jobs that have not ended, with one DescribeJobs call per 100 jobs.

        The status of a job that stays queued contains the reason, if one was found.

        Raises:
            AwsRefusedError: AWS denied the call, does not know a job that it should know, or
                reported an unknown state.
        """
        self._load_submission()
        open_jobs = {
            self._ids[name]: job
            for job, name in self._batch_names.items()
            if name in self._ids and job not in self._ended
        }
        statuses: dict[str, JobStatus] = {}
        queued: dict[str, Queued] = {}
        for detail in describe_jobs(self._batch, list(open_jobs)):
            job = open_jobs[detail["jobId"]]
            statuses[job] = status_of(detail)
            self._job_logs[job] = log_of(detail)
            if statuses[job].state is JobState.QUEUED:
                queued[job] = Queued(detail, self._needs[job])
        for job, findings in self._diagnosis.watch(queued).items():
            statuses[job] = replace(statuses[job], reason=summary(findings))
        for job in open_jobs.values():
            if job not in statuses:
                statuses[job] = self._status_of_unknown(job)
        self._ended.update({job: status for job, status in statuses.items() if status.state.ended})
        return {**self._ended, **statuses}

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        """Return why queued jobs do not start, from a single check.

        A job has no findings if no reason was found.

        Raises:
            AwsRefusedError: AWS refused to describe the jobs.
        """
        self._load_submission()
        ids = {self._ids[name]: job for job, name in self._batch_names.items() if name in self._ids}
        queued = {
            (job := ids[detail["jobId"]]): Queued(detail, self._needs[job])
            for detail in describe_jobs(self._batch, list(ids))
            if detail["status"] == "RUNNABLE"
        }
        return self._diagnosis.check(queued)

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Return lines of the newest attempt, and of attempts that begin after the first call."""
        log = self._find_log(job)
        if not log.streams:
            return [], cursor
        return read_streams(
            self._logs, job, log.group, log.streams, cursor, first=len(log.streams) - 1
        )

    def cancel(self, jobs: Sequence[PlannedJob]) -> None:
        """Terminate jobs. CancelJob would have no effect once a job is STARTING.

        All jobs of a name are terminated. If another client may be submitting, its latest jobs are
        not listed yet: the listing is repeated until it shows what existed when this call began.
        """
        self._load_submission()
        _, latest = self._latest
        order = {job.name: position for position, job in enumerate(jobs)}
        wanted = [job for job in self._jobs if job.planned in order]
        wanted.sort(key=lambda job: order[job.planned])
        started_at = self._clock()
        terminated: set[str] = set()
        while True:
            listed_at = self._clock()
            ids = self._list_ids()
            for name, job_id in self._ids.items():
                ids.setdefault(name, set()).add(job_id)
            found = [(job, i) for job in wanted for i in ids.get(job.name, set()) - terminated]
            with ThreadPoolExecutor(_MAX_CONCURRENT_CALLS) as pool:
                list(pool.map(lambda pair: self._terminate(*pair), found))
            terminated.update(job_id for _, job_id in found)
            is_complete = all(job.name in ids for job in wanted)
            if is_complete or latest is None or latest.is_shown_by(listed_at, started_at):
                return
            self.pause()

    def release(self) -> None:
        """No-op: jobs keep running after the client disconnects."""

    def pause(self) -> None:
        """Wait until the next poll."""
        time.sleep(self._poll_s)

    def _submit_all(
        self, jobs: Sequence[BatchJob], succeeded: Collection[str], number: int
    ) -> None:
        if jobs and not self._image.image:
            raise SettingsError(
                what="Setting `image` is missing",
                why=f"{len(jobs)} jobs of run {self._record.run_id} have not been submitted yet",
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
                self._tags,
            )
            self._unanswered.add(job.name)
            try:
                self._ids[job.name] = self._batch.submit_job(**request)["jobId"]
            except (ClientError, BotoCoreError) as error:
                if not may_have_arrived(error):
                    self._unanswered.discard(job.name)
                doing = f"submit job {job.planned!r} to queue {job.queue!r}"
                raise refused(error, doing) from error
            self._unanswered.discard(job.name)

        with ThreadPoolExecutor(_MAX_CONCURRENT_CALLS) as pool:
            try:
                for level in levels(jobs):
                    for start in range(0, len(level), _JOBS_PER_NOTE):
                        list(pool.map(submit, level[start : start + _JOBS_PER_NOTE]))
                        self._store.put(
                            self._layout.submission(number), self._submission_json("going")
                        )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _terminate(self, job: BatchJob, job_id: str) -> None:
        try:
            self._batch.terminate_job(jobId=job_id, reason="cancelled by the user of flowyml-aws")
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"terminate job {job.planned!r}") from error

    def _look_up_jobs_of(self, previous: Submission) -> None:
        """Find the ids of the jobs that a client submitted before it died.

        One listing does not prove that a job does not exist: it shows a new job only later.
        """
        started_at = self._clock()
        while True:
            listed_at = self._clock()
            self._ids.update({name: min(ids) for name, ids in self._list_ids().items()})
            is_complete = len(self._ids) == len(self._jobs)
            if is_complete or previous.is_shown_by(listed_at, started_at):
                return
            self.pause()

    def _list_ids(self) -> dict[str, set[str]]:
        names = {job.name for job in self._jobs}
        queues = {job.queue for job in self._jobs}
        return list_job_ids(self._batch, self._record.run_id, queues, names)

    def _submission_json(self, state: Literal["going", "left", "complete"]) -> bytes:
        submission = Submission(state=state, written_at=self._clock(), job_ids=dict(self._ids))
        return submission.to_json()

    def _load_submission(self) -> None:
        """Read the latest submission record, unless all jobs are known to be submitted.

        Jobs with a parent on another service are submitted later than others.
        """
        number, latest = self._latest
        if latest is not None and latest.state == "complete" and len(self._ids) == len(self._jobs):
            return
        number = max(map(_number, self._store.children(self._layout.submissions)), default=0)
        if number:
            key = self._layout.submission(number)
            latest = read_document(Submission, self._store.get(key), f"{self._store.uri}/{key}")
            self._ids.update(latest.job_ids)
            self._latest = number, latest

    def _status_of_unknown(self, job: str) -> JobStatus:
        _, latest = self._latest
        age_s = self._clock() - latest.written_at if latest else 0.0
        if age_s < _VISIBLE_AFTER_S:
            return JobStatus(JobState.WAITING)
        if age_s > _RETENTION_S:
            return JobStatus(
                JobState.FAILED, 0, "AWS Batch no longer lists this job, and it left no result"
            )
        raise AwsRefusedError(
            what=f"AWS Batch has no job {job!r} of run {self._record.run_id}",
            why="it was submitted, but does not exist in "
            f"{self._batch.meta.region_name} of this account",
            fix="set AWS_REGION and AWS_PROFILE to the values that the run was started with",
        )

    def _find_log(self, job: str) -> JobLog:
        # `statuses` has already described the active jobs, up to 100 in one call.
        known = self._job_logs.get(job) if job in self._ended else self._job_logs.pop(job, None)
        if known is not None:
            return known
        self._load_submission()
        if self._batch_names[job] in self._ids:
            for detail in describe_jobs(self._batch, [self._ids[self._batch_names[job]]]):
                return log_of(detail)
        return JobLog(self._image.log_group, ())


def _number(name: str) -> int:
    return int(name.removesuffix(".json"))
