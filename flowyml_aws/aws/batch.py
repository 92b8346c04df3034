"""Jobs on AWS Batch: submitted all at once, so that the laptop can leave."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.batch_definition import JobImage, ensure_definition
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.names import batch_name
from flowyml_aws.core.errors import ArtifactNotFoundError, AwsRefusedError
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import EvaluateOnExitTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient

__all__ = ["BatchBackend"]

# https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
_PARENTS = 20
_TIMEOUT_S = 60
# https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html
_DESCRIBED = 100
_ATTEMPTS = 5
_SUBMITTERS = 8  # Batch takes 50 submissions a second

# First match wins, and no match means RETRY: so the last rule ends everything else.
_RETRY_RULES: list[EvaluateOnExitTypeDef] = [
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "CannotPullContainerError:*", "action": "EXIT"},
    {"onReason": "OutOfMemoryError*", "action": "EXIT"},
    {"onReason": "*", "action": "EXIT"},
]

_STATES = {
    "SUBMITTED": JobState.WAITING,
    "PENDING": JobState.WAITING,
    "RUNNABLE": JobState.QUEUED,
    "STARTING": JobState.STARTING,
    "RUNNING": JobState.RUNNING,
    "SUCCEEDED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
}


class _Submission(Document):
    """The ids that Batch gave to the jobs of a run."""

    job_ids: dict[str, str]


class BatchBackend:
    """Runs the jobs of one run as AWS Batch jobs, one each."""

    def __init__(
        self,
        batch: BatchClient,
        logs: CloudWatchLogsClient,
        store: ArtifactStore,
        record: RunRecord,
        image: JobImage,
        poll_s: float,
    ) -> None:
        self._batch = batch
        self._logs = logs
        self._store = store
        self._record = record
        self._layout = RunLayout(record.run_id)
        self._image = image
        self._poll_s = poll_s
        self._ids: dict[str, str] = {}
        self._ended: dict[str, JobStatus] = {}

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit every job, each to run after its parents; jobs of an earlier call are found."""
        # An earlier call may have died between a submission and its record: names tell.
        known = self._submitted_before({job.target for job in jobs})
        definitions: dict[int, str] = {}
        for level in _levels(jobs, known.keys() | set(succeeded)):
            for job in level:
                if job.needs.memory_mib not in definitions:
                    definitions[job.needs.memory_mib] = ensure_definition(
                        self._batch, self._image, job.needs.memory_mib
                    )
            with ThreadPoolExecutor(_SUBMITTERS) as pool:
                ids = pool.map(
                    lambda job: self._submit_one(
                        job, definitions[job.needs.memory_mib], known, succeeded
                    ),
                    level,
                )
                known.update(zip((job.name for job in level), ids, strict=True))
        self._ids.update(known)
        self._store.put(self._layout.submission, _Submission(job_ids=self._ids).to_json())

    def statuses(self) -> Mapping[str, JobStatus]:
        """One call of DescribeJobs for each 100 jobs that have not ended.

        Raises:
            AwsRefusedError: AWS denied the call, or told a state that nobody knows.
        """
        self._read_ids()
        open_ids = {i: job for job, i in self._ids.items() if job not in self._ended}
        told = dict(self._ended)
        # Finished jobs age out of Batch: only the store can tell how such a job ended.
        aged_out = JobStatus(JobState.FAILED, 0, "AWS Batch does not know this job any more")
        told.update(dict.fromkeys(open_ids.values(), aged_out))
        for detail in self._described(list(open_ids)):
            status = _status(detail)
            told[open_ids[detail["jobId"]]] = status
            if status.state.ended:
                self._ended[open_ids[detail["jobId"]]] = status
        return told

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Lines of the newest attempt, from CloudWatch."""
        self._read_ids()
        stream, _, token = (cursor or "").partition("\n")
        details = self._described([self._ids[job]]) if job in self._ids else []
        newest = _log_stream(details[0]) if details else stream
        if not newest:
            return [], cursor
        position: dict[str, Any] = {"nextToken": token} if token and newest == stream else {}
        lines: list[LogLine] = []
        while True:
            try:
                page = self._logs.get_log_events(
                    logGroupName=self._image.log_group,
                    logStreamName=newest,
                    startFromHead=True,
                    **position,
                )
            except self._logs.exceptions.ResourceNotFoundException:
                return lines, cursor  # the job has not printed anything yet
            except (ClientError, BotoCoreError) as error:
                raise refused(error, f"read the log of job {job!r}") from error
            lines += [LogLine(job, e["message"], e["timestamp"]) for e in page["events"]]
            # CloudWatch answers with the same token at the end of a stream.
            if page["nextForwardToken"] == position.get("nextToken"):
                return lines, f"{newest}\n{page['nextForwardToken']}"
            position = {"nextToken": page["nextForwardToken"]}

    def cancel(self, jobs: Sequence[PlannedJob]) -> None:
        """Terminate jobs; CancelJob would do nothing from STARTING on."""
        self._read_ids()
        for job in jobs:
            if job.name in self._ids:
                try:
                    self._batch.terminate_job(
                        jobId=self._ids[job.name], reason="cancelled by the user of flowyml-aws"
                    )
                except (ClientError, BotoCoreError) as error:
                    raise refused(error, f"terminate job {job.name!r}") from error

    def release(self) -> None:
        """Nothing: the jobs go on without the client."""

    def pause(self) -> None:
        """Until the next poll."""
        time.sleep(self._poll_s)

    def _submit_one(
        self,
        job: PlannedJob,
        definition: str,
        known: Mapping[str, str],
        succeeded: Collection[str],
    ) -> str:
        if job.name in known:
            return known[job.name]
        parents = [known[parent] for parent in job.after if parent not in succeeded]
        joins = 0
        while len(parents) > _PARENTS:
            # Batch takes 20 parents: jobs that do nothing stand for 20 each.
            parents = [
                self._call_submit(
                    batch_name(self._record.run_id, "join", job.name, str(joins := joins + 1)),
                    job,
                    definition,
                    ["true"],
                    parents[at : at + _PARENTS],
                    requirements=_requirements(1, 512, 0),
                )
                for at in range(0, len(parents), _PARENTS)
            ]
        needs = job.needs
        spec = f"{self._store.uri}/{self._layout.spec(job.name)}"
        return self._call_submit(
            batch_name(self._record.run_id, job.name),
            job,
            definition,
            [
                "python",
                "-m",
                "flowyml_aws.runtime",
                f"{spec}#sha256={self._record.specs[job.name]}",
            ],
            parents,
            requirements=_requirements(needs.vcpus, needs.memory_mib, needs.gpu_count),
        )

    def _call_submit(
        self,
        name: str,
        job: PlannedJob,
        definition: str,
        command: list[str],
        parents: Sequence[str],
        requirements: list[dict[str, str]],
    ) -> str:
        limit: dict[str, Any] = {}
        if job.timeout_s is not None:
            limit["timeout"] = {"attemptDurationSeconds": max(_TIMEOUT_S, job.timeout_s)}
        try:
            answer = self._batch.submit_job(
                jobName=name,
                jobQueue=job.target,
                jobDefinition=definition,
                dependsOn=[{"jobId": parent} for parent in parents],
                containerOverrides={
                    "command": command,
                    "resourceRequirements": requirements,  # type: ignore[typeddict-item]
                    "environment": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
                },
                retryStrategy={
                    "attempts": _ATTEMPTS,
                    "evaluateOnExit": _RETRY_RULES,
                },
                propagateTags=True,
                tags={
                    "flowyml-aws:run": self._record.run_id,
                    "flowyml-aws:pipeline": _tag(self._record.pipeline),
                    "flowyml-aws:job": _tag(job.name),
                },
                **limit,
            )
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"submit job {job.name!r} to queue {job.target!r}") from error
        return answer["jobId"]

    def _submitted_before(self, queues: Collection[str]) -> dict[str, str]:
        self._read_ids()
        by_name = {batch_name(self._record.run_id, job): job for job in self._record.specs}
        known = dict(self._ids)
        pages = self._batch.get_paginator("list_jobs")
        for queue in sorted(queues):
            try:
                for page in pages.paginate(
                    jobQueue=queue,
                    filters=[{"name": "JOB_NAME", "values": [f"{self._record.run_id}-*"]}],
                ):
                    for job in page["jobSummaryList"]:
                        if job["jobName"] in by_name:
                            known.setdefault(by_name[job["jobName"]], job["jobId"])
            except (ClientError, BotoCoreError) as error:
                raise refused(error, f"list the jobs of queue {queue!r}") from error
        return known

    def _read_ids(self) -> None:
        if self._ids:
            return
        key = self._layout.submission
        try:
            data = self._store.get(key)
        except ArtifactNotFoundError:
            return
        self._ids = read_document(_Submission, data, f"{self._store.uri}/{key}").job_ids

    def _described(self, ids: Sequence[str]) -> list[Any]:
        details: list[Any] = []
        for at in range(0, len(ids), _DESCRIBED):
            try:
                answer = self._batch.describe_jobs(jobs=list(ids[at : at + _DESCRIBED]))
            except (ClientError, BotoCoreError) as error:
                raise refused(error, "ask how the jobs are") from error
            details += answer["jobs"]
        return details


def _levels(jobs: Sequence[PlannedJob], there: Collection[str]) -> Iterator[list[PlannedJob]]:
    """Jobs in rounds: each round's parents are there or in an earlier round."""
    there = set(there)
    left = list(jobs)
    while left:
        level = [job for job in left if set(job.after) <= there]
        assert level, "a plan's jobs are in an order in which they can run"
        yield level
        there |= {job.name for job in level}
        left = [job for job in left if job.name not in there]


def _requirements(vcpus: int, memory_mib: int, gpus: int) -> list[dict[str, str]]:
    amounts = {"VCPU": vcpus, "MEMORY": memory_mib, "GPU": gpus}
    return [{"type": kind, "value": str(amount)} for kind, amount in amounts.items() if amount]


def _status(detail: Any) -> JobStatus:
    state = _STATES.get(detail["status"])
    if state is None:
        raise AwsRefusedError(
            what=f"AWS Batch says job {detail['jobName']!r} is {detail['status']!r}",
            why="this version of flowyml-aws does not know that state",
            fix="upgrade flowyml-aws; the job itself goes on",
        )
    attempts = len(detail.get("attempts", ()))
    # A running attempt is listed only once it has ended.
    attempt = attempts if state.ended else attempts + 1
    return JobStatus(state, max(attempt, 1), _why(detail) if state is JobState.FAILED else None)


def _why(detail: Any) -> str:
    container = detail.get("container", {})
    told = [container.get("reason"), detail.get("statusReason")]
    if (code := container.get("exitCode")) is not None:
        told.append(f"exit code {code}")
    return "; ".join(text for text in told if text) or "AWS Batch gives no reason"


def _log_stream(detail: Any) -> str | None:
    streams = [attempt["container"].get("logStreamName") for attempt in detail.get("attempts", ())]
    streams.append(detail.get("container", {}).get("logStreamName"))
    return next((stream for stream in reversed(streams) if stream), None)


def _tag(text: str) -> str:
    return "".join(c if c.isalnum() or c in "+-=._:/@ " else "-" for c in text)[:256]
