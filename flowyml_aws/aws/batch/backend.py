"""AWS Batch backend: submits all jobs of a run at once, so that the client can exit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.batch.batch_job import BatchJob
from flowyml_aws.aws.batch.calls import never_repeat_submissions
from flowyml_aws.aws.batch.children import JobPoller
from flowyml_aws.aws.batch.copies import JobCopies
from flowyml_aws.aws.batch.definition import DefinitionKind, JobImage, ensure_kind
from flowyml_aws.aws.batch.diagnosis import Queued, RunnableDiagnosis, summary
from flowyml_aws.aws.batch.fronts import QueueFronts
from flowyml_aws.aws.batch.jobs import (
    JOBS_PER_CALL,
    MOVE_REASON,
    JobLog,
    ListedJob,
    describe_jobs,
    has_ended,
    is_queued,
    is_second_copy,
    log_of,
    status_of,
    terminate_job,
)
from flowyml_aws.aws.batch.nodes import node_id, streams_of_nodes, with_main_nodes
from flowyml_aws.aws.batch.requests import batch_jobs
from flowyml_aws.aws.batch.run_jobs import RunJobs
from flowyml_aws.aws.batch.shell import open_batch_session, open_batch_shell
from flowyml_aws.aws.batch.submission import LeaseLostError, Submissions
from flowyml_aws.aws.batch.submitter import BatchSubmitter
from flowyml_aws.aws.log_streams import read_nodes, read_streams
from flowyml_aws.aws.shell_sessions import not_running
from flowyml_aws.aws.unended import not_ended
from flowyml_aws.core.clock import sleep, uptime_s
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine, ShellSession
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient

__all__ = ["BatchBackend"]

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
        end_driver: Callable[[], Sequence[str]] = tuple,
        ecs: Callable[[], Any] = lambda: None,
        clock: Callable[[], float] = uptime_s,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        never_repeat_submissions(batch)
        self._batch = batch
        self._logs = logs
        self._record = record
        self._image = image
        self._poll_s = poll_s
        self._diagnosis = diagnosis
        self._fronts = QueueFronts(batch, clock)
        self._tags = tags or {}
        self._end_driver = end_driver
        self._ecs = ecs
        self._clock = clock
        self._sleep = sleep
        self._store_uri = store.uri
        self._planned: dict[str, PlannedJob] = {}
        self._poller = JobPoller(batch)
        self._latest: dict[str, JobStatus] = {}
        self._submissions = Submissions(store, record.run_id, (), clock)
        self._run = RunJobs((), self._ids)
        self._copies = JobCopies(batch, store, record.run_id, ())
        self._ended: dict[str, JobStatus] = {}
        self._job_logs: dict[str, JobLog] = {}
        self._finding_logs = threading.Lock()
        self.move(plan)

    def move(self, plan: ExecutionPlan) -> None:
        """Use a plan in which jobs have moved: their names are new, so they are submitted again."""
        previous = self._planned
        jobs = batch_jobs(plan, self._record, self._store_uri, self._batch.meta.region_name)
        self._planned = {job.name: job for job in plan.jobs}
        self._run = RunJobs(jobs, self._ids)
        self._submissions.names = [job.name for job in jobs]
        self._copies.use(jobs)
        for name, job in previous.items():
            if self._planned[name].submission != job.submission:
                self._ended.pop(name, None)
                self._latest.pop(name, None)
                self._job_logs.pop(name, None)

    def withdraw(self, job: str) -> None:
        """Terminate a job that waits for a machine, so that it can move.

        Raises:
            AwsRefusedError: AWS denied the call.
        """
        doing = f"withdraw job {job!r} from its queue"
        terminate_job(self._batch, self._run.known()[job], doing, MOVE_REASON)

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit every job to run after its parents; a job that exists on Batch is not repeated.

        No-op while another client is submitting this run, or once the run is cancelled. If another
        client takes over meanwhile, this one stops. A job that waits for an array from which jobs
        have moved is submitted once the others have succeeded.

        Raises:
            AwsRefusedError: AWS refused a job. Those submitted before it keep running, and a
                second call submits the rest.
        """
        self._submissions.load()
        previous = self._submissions.latest
        if previous is not None and (previous.state == "cancelled" or self._submissions.is_held()):
            return
        done = self._run.done_after(succeeded)
        requested = {job.name for job in jobs}
        is_complete = previous is not None and previous.state == "complete"
        if is_complete and not self._run.submittable(requested, done):
            return
        lease = self._submissions.take()
        if lease is None:
            return
        submitter = BatchSubmitter(
            batch=self._batch,
            record=self._record,
            copies=self._copies,
            submissions=self._submissions,
            lease=lease,
            tags=self._tags,
            clock=self._clock,
            pause=self.pause,
        )
        try:
            if previous is not None and previous.state == "going":
                submitter.take_over(self._run.jobs)
            missing = self._run.submittable(requested, done)
            submitter.submit(missing, done, self._definitions(missing))
        except LeaseLostError:
            self._submissions.forget()
            return
        except BaseException:
            if not submitter.has_unanswered:
                with suppress(FlowymlError):  # the first error is the one to report
                    lease.write("left")
            raise
        lease.write("complete")

    def statuses(self) -> Mapping[str, JobStatus]:
        """Poll the jobs that have not ended, with one DescribeJobs call per 100 jobs.

        Of array jobs, the children that may have changed are described (`children`). The status of
        a job that stays queued contains the reason, if one was found.

        Raises:
            AwsRefusedError: AWS denied the call, does not know a job that it should know, or
                reported an unknown state.
        """
        self._submissions.load()
        open_jobs = {i: job for job, i in self._run.known().items() if job not in self._ended}
        statuses: dict[str, JobStatus] = {}
        queued: dict[str, Queued] = {}
        for detail in self._described(self._poller, open_jobs):
            job = open_jobs[detail["jobId"]]
            detail = self._copy_that_runs(job, detail)
            status = status_of(detail, self._run.places[job].batch_job.first_attempt)
            statuses[job] = self._latest[job] = status
            self._job_logs[job] = log_of(detail)
            if statuses[job].state is JobState.QUEUED:
                queued[job] = Queued.of(detail, self._planned[job].needs)
        for job in open_jobs.values():
            if job not in statuses:
                statuses[job] = self._unchanged(job) or self._status_of_unknown(job)
        first = self._run.first_of_each(queued)
        findings = self._diagnosis.watch({job: queued[job] for job in first.values()})
        for job, status in statuses.items():
            of_job = findings.get(first.get(self._run.places[job].batch_job.name, job))
            if of_job and status.state is JobState.QUEUED:
                statuses[job] = replace(status, reason=summary(of_job))
        for job in self._after_jobs_without_capacity(statuses):
            statuses[job] = replace(statuses[job], lacks_capacity=True)
        self._ended.update({job: status for job, status in statuses.items() if status.state.ended})
        return {**self._ended, **statuses}

    def is_active(self, jobs: Sequence[PlannedJob]) -> bool:
        """Return True at the first job that has not ended, after one call for each 100 jobs."""
        self._submissions.load()
        names = dict.fromkeys(self._run.places[job.name].batch_job.name for job in jobs)
        ids = [self._ids[name] for name in names if name in self._ids]
        return not all(has_ended(detail) for detail in describe_jobs(self._batch, ids))

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        """Return why queued jobs do not start, from a single check.

        A job has no findings if no reason was found. Of an array, its first queued job is checked.

        Raises:
            AwsRefusedError: AWS refused to describe the jobs.
        """
        self._submissions.load()
        jobs = {job_id: job for job, job_id in self._run.known().items()}
        queued = {
            (job := jobs[detail["jobId"]]): Queued.of(detail, self._planned[job].needs)
            for detail in self._described(JobPoller(self._batch), jobs)
            if detail["status"] == "RUNNABLE"
        }
        first = self._run.first_of_each(queued)
        return self._diagnosis.check({job: queued[job] for job in first.values()})

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Return lines of the newest attempt, and of attempts that begin after the first call.

        Lines of a job on several nodes are labelled with the node, except those of the main node.
        """
        if (nodes := self._planned[job].needs.nodes) > 1:
            return self._logs_of_nodes(job, nodes, cursor)
        with self._finding_logs:  # one call finds the logs of many jobs
            log = self._find_log(job)
        if not log.streams:
            return [], cursor
        return read_streams(
            self._logs, job, log.group, log.streams, cursor, first=len(log.streams) - 1
        )

    def open_shell(self, job: str, node: int, shell: str) -> ShellSession:
        """Open a shell in the container of a job, with ECS Exec."""
        return open_batch_shell(self._ecs(), self._shell_detail(job, node), job, shell)

    def open_session(self, job: str, node: int, shell: str) -> ShellSession:
        """Open the session of a shell. The plugin that connects to it need not be installed."""
        return open_batch_session(self._ecs(), self._shell_detail(job, node), job, shell)

    def _shell_detail(self, job: str, node: int) -> JobDetailTypeDef:
        self._submissions.load()
        job_id = self._run.known().get(job)
        if job_id is not None and self._planned[job].needs.nodes > 1:
            job_id = node_id(job_id, node)
        details = [] if job_id is None else list(describe_jobs(self._batch, [job_id]))
        if not details:
            raise not_running(job, "it has not been submitted, or has ended long ago")
        return details[0]

    def cancel(self, jobs: Sequence[PlannedJob]) -> Sequence[str]:
        """Terminate jobs, all their copies and joins, and second copies of the other jobs.

        No client submits a job of this run afterwards. If one may be submitting now, its latest
        jobs are not listed yet: the listing is repeated until it shows them.

        Raises:
            AwsRefusedError: Some jobs could not be terminated; the others were.
        """
        self._submissions.load()
        latest = self._submissions.latest
        self._submissions.close()
        order = {job.name: position for position, job in enumerate(jobs)}
        kept = self._run.ids_of([job for job in self._run.places if job not in order])
        by_order = sorted(
            self._run.jobs, key=lambda job: min(order.get(name, len(order)) for name in job.jobs)
        )
        if latest is not None and latest.state == "going":
            # Calls of a client that was suspended may still arrive: their jobs end at once.
            running = [job for job in self._run.jobs if not job.is_join]
            self._copies.claim_all([job for job in running if job.name not in self._ids])
        return [*self._end(by_order, kept), *self._end_driver()]

    def end_leftovers(self, finished: Collection[str]) -> Sequence[str]:
        """Terminate what an ended run has left: second copies, joins, blocked jobs, the driver.

        Args:
            finished: Names of the jobs that have a result; their processes may still be exiting.

        Raises:
            AwsRefusedError: Some jobs could not be terminated; the others were.
        """
        self._submissions.load()
        if not self._ids:
            return self._end_driver()
        return [*self._end(self._run.jobs, self._run.ids_of(finished)), *self._end_driver()]

    def release(self) -> None:
        """No-op: jobs keep running after the client disconnects."""

    def pause(self) -> None:
        """Wait until the next poll."""
        self._sleep(self._poll_s)

    @property
    def _ids(self) -> dict[str, str]:
        """Batch job ids by Batch job name."""
        return self._submissions.job_ids

    def _described(self, poller: JobPoller, jobs: Mapping[str, str]) -> Iterator[JobDetailTypeDef]:
        """Yield the details of jobs that may have changed since the last poll of a poller.

        Args:
            poller: Poller of these jobs.
            jobs: Names in the plan by job id.
        """
        alone: list[str] = []
        arrays: dict[str, int] = {}
        for job_id, job in jobs.items():
            if (array_id := self._run.array_of(job, job_id)) is None:
                alone += self._described_ids(job, job_id)
            else:
                arrays[array_id] = len(self._run.places[job].batch_job.children)
        details = with_main_nodes(poller.poll(alone, arrays))
        return (detail for detail in details if detail["jobId"] in jobs)

    def _described_ids(self, job: str, job_id: str) -> list[str]:
        """Return the ids that describe a job: its own one, and that of its main node."""
        return [job_id] if self._planned[job].needs.nodes == 1 else [job_id, node_id(job_id)]

    def _definitions(self, jobs: Sequence[BatchJob]) -> dict[str, str]:
        """Return the names of the job definitions of jobs, by job name."""
        if jobs and not self._image.image:
            raise SettingsError(
                what="Setting `image` is missing",
                why=f"{len(jobs)} jobs of run {self._record.run_id} have not been submitted yet",
                fix="set image in flowyml-aws.toml or FLOWYML_AWS_IMAGE, and attach again",
            )
        kinds = {job.name: DefinitionKind.of(job) for job in jobs}
        definitions = {
            kind: ensure_kind(self._batch, self._image, kind) for kind in set(kinds.values())
        }
        return {name: definitions[kind] for name, kind in kinds.items()}

    def _end(self, jobs: Sequence[BatchJob], kept: Collection[str]) -> Sequence[str]:
        """Terminate all copies of jobs that a listing shows, once it shows all of them.

        Args:
            jobs: Jobs in the order in which they are terminated.
            kept: Ids of the copies that continue, except if they wait for a machine again: their
                host was lost at their end.
        """
        terminated: set[str] = set()
        refusals: dict[str, AwsRefusedError] = {}
        while True:
            is_complete = self._submissions.all_are_listed()
            listed = self._copies.listed()
            continuing = set(kept).difference(self._waiting_again(kept, listed))
            found = [
                (job, job_id)
                for job in jobs
                for job_id in self._unended(job, listed.get(job.name, ()))
                if job_id not in continuing and job_id not in terminated
            ]
            refusals |= self._copies.terminate_all(found)
            terminated.update(job_id for _, job_id in found)
            if all(job.name in listed for job in jobs) and not self._submissions.uncertain:
                is_complete = True
            if is_complete:  # the listing has shown, and this has ended, all that exist
                break
            self.pause()
        if refusals:
            raise not_ended(self._record.run_id, refusals, "AWS Batch")
        return self._copies.still_there(terminated)

    def _waiting_again(
        self, ids: Collection[str], listed: Mapping[str, Sequence[ListedJob]]
    ) -> set[str]:
        """Return which copies wait for a machine; a listing may be seconds old."""
        shown = {copy.job_id for copies in listed.values() for copy in copies if copy.is_queued}
        details = describe_jobs(self._batch, sorted(shown.intersection(ids)))
        return {detail["jobId"] for detail in details if is_queued(detail["status"])}

    def _unended(self, job: BatchJob, copies: Sequence[ListedJob]) -> set[str]:
        """Return the ids of the copies of a job that may not have ended, listed or noted."""
        ids = {copy.job_id for copy in copies if not copy.has_ended}
        if job.name in self._ids and self._ids[job.name] not in {c.job_id for c in copies}:
            ids.add(self._ids[job.name])
        return ids

    def _after_jobs_without_capacity(self, statuses: Mapping[str, JobStatus]) -> Sequence[str]:
        """Return the queued jobs that could move, and wait because a queue's first job does."""
        waiting = {
            job: self._planned[job].target
            for job, status in statuses.items()
            if status.state is JobState.QUEUED
            and not status.lacks_capacity
            and Cause.CAPACITY in self._planned[job].moves
        }
        lacking = self._fronts.without_capacity(set(waiting.values()))
        return [job for job, queue in waiting.items() if queue in lacking]

    def _unchanged(self, job: str) -> JobStatus | None:
        """Return the latest status of a child that was not described because it is the same."""
        array_id = self._ids[self._run.places[job].batch_job.name]
        if array_id not in self._poller.arrays:
            return None
        return self._latest.get(job, JobStatus(JobState.WAITING))

    def _status_of_unknown(self, job: str) -> JobStatus:
        age_s = self._submissions.age_s()
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

    def _copy_that_runs(self, job: str, detail: JobDetailTypeDef) -> JobDetailTypeDef:
        """Return the details of the copy that holds the claim of a job, if this one gave way."""
        holder = self._copies.holder(job) if is_second_copy(detail) else None
        if holder is None or holder == detail["jobId"]:
            return detail
        ids = self._described_ids(job, holder)
        for other in with_main_nodes(describe_jobs(self._batch, ids)):
            self._ids[self._run.places[job].name] = holder
            return other
        return detail

    def _logs_of_nodes(
        self, job: str, nodes: int, cursor: str | None
    ) -> tuple[list[LogLine], str | None]:
        self._submissions.load()
        if (job_id := self._run.known().get(job)) is None:
            return [], cursor
        streams = streams_of_nodes(self._batch, job_id, nodes)
        return read_nodes(self._logs, job, streams, cursor)

    def _find_log(self, job: str) -> JobLog:
        # `statuses` has already described the active jobs, up to 100 in one call.
        if job not in self._job_logs:
            self._submissions.load()
            self._describe_logs(job)
        none = JobLog(self._image.log_group, ())
        if job in self._ended:
            return self._job_logs.get(job, none)
        return self._job_logs.pop(job, none)  # it may get another stream

    def _describe_logs(self, job: str) -> None:
        """Find the log of a job and of those after it in the plan, with one call."""
        jobs = list(self._planned)
        ids = self._run.known()
        names = {
            ids[each]: each
            for each in jobs[jobs.index(job) :]
            if each not in self._job_logs and each in ids
        }
        for detail in describe_jobs(self._batch, list(names)[:JOBS_PER_CALL]):
            self._job_logs[names[detail["jobId"]]] = log_of(detail)
