"""Gates of held jobs: whether a job is submitted or skipped once the jobs before it have succeeded.

Everything follows from the spec of the job and from the results before it, so that all clients of a
run decide the same. The result of a skipped job is created by the client, under the same condition
as that of any other job: the first one counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.commit import create_result
from flowyml_aws.runtime.result import (
    NO_ATTEMPT,
    JobResult,
    StepReport,
    StepState,
    cases_of,
)
from flowyml_aws.runtime.skips import Skip, skips_of_job
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.record import RunRecord, read_spec

__all__ = ["Gates", "result_of_skips", "skips_after", "waiting_reason"]

Summaries = Mapping[str, JobSummary]


@dataclass
class Gates:
    """The gates of one run, as one client sees them."""

    store: ArtifactStore
    record: RunRecord
    _open: set[tuple[str, int]] = field(default_factory=set)

    def closed(self, jobs: Sequence[PlannedJob]) -> list[PlannedJob]:
        """Return the held jobs that this client has not decided to submit."""
        return [job for job in jobs if job.held and _key(job) not in self._open]

    def skip(self, jobs: Sequence[PlannedJob], results: Summaries) -> list[PlannedJob]:
        """Decide on jobs, and return those that have a result now because all steps are skipped.

        The gates of the others are open from now on.

        Args:
            jobs: Held jobs whose jobs before them have succeeded.
            results: Summaries of the results of the run, by job.

        Raises:
            DamagedArtifactError: A spec is damaged.
        """
        skip = partial(self._skip, results=results)
        answers = map_concurrently(skip, jobs, limit=STORE_REQUESTS)
        decided = list(zip(jobs, answers, strict=True))
        self._open.update(_key(job) for job, is_skipped in decided if not is_skipped)
        return [job for job, is_skipped in decided if is_skipped]

    def _skip(self, job: PlannedJob, results: Summaries) -> bool:
        spec = read_spec(self.store, self.record, job.name)
        skips = skips_after(spec, results)
        if skips is None:
            return False
        sources = {source.job for source in spec.assets.values()}
        ends = [results[name].ended_at for name in sources if name is not None]
        result = result_of_skips(spec, skips, max(ends, default=self.record.created_at))
        create_result(self.store, result, job.repetition)
        return True


def skips_after(spec: JobSpec, results: Summaries) -> dict[str, Skip] | None:
    """Return why each step of a job is skipped; None if the job has to run.

    Args:
        spec: Spec of the job.
        results: Summaries of the results of the run, by job.
    """
    absent: dict[str, str] = {}
    cases: dict[str, str] = {}
    for asset, source in spec.assets.items():
        if source.job is None:
            cause, case = source.absent, source.case
        else:
            cause = results[source.job].skipped.get(asset)
            case = cases_of(results[source.job].steps).get(asset)
        if cause is not None:
            absent[asset] = cause
        if case is not None:
            cases[asset] = case
    absent.update(_absent_lists(spec, absent))
    return skips_of_job(spec.steps, absent, cases)


def result_of_skips(spec: JobSpec, skips: Mapping[str, Skip], decided_at: float) -> JobResult:
    """Return the result of a job whose steps are all skipped, without an attempt.

    Args:
        spec: Spec of the job.
        skips: Reason of each step.
        decided_at: Time of the last result that decides it, in seconds since the epoch, so that
            all clients create the same result.
    """
    return JobResult(
        run_id=spec.run_id,
        job=spec.job,
        attempt=NO_ATTEMPT,
        state="succeeded",
        started_at=decided_at,
        ended_at=decided_at,
        steps=tuple(
            StepReport(name=step, state=StepState.SKIPPED, reason=skip.reason)
            for step, skip in skips.items()
        ),
        assets={},
        skipped={asset: skips[step.name].cause for step in spec.steps for asset in step.outputs},
    )


def waiting_reason(job: PlannedJob, unended: Collection[str]) -> str | None:
    """Return a reason with the decisions that a held job waits for; None if it waits for none.

    Args:
        job: A job that was not submitted.
        unended: Steps of the jobs that have not ended.
    """
    names = [repr(name) for name in job.held if name in unended and name not in job.steps]
    if not names:
        return None
    decisions = f"decisions {', '.join(names)} are" if names[1:] else f"decision {names[0]} is"
    return f"{decisions} not made yet"


def _absent_lists(spec: JobSpec, absent: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the lists of items none of which exists, with the cause of the first."""
    for asset, gathered in spec.gathered.items():
        if gathered.items and all(item in absent for item in gathered.items):
            yield asset, absent[gathered.items[0]]


def _key(job: PlannedJob) -> tuple[str, int]:
    """Return a key that changes when the job, or a job whose assets it reads, is repeated."""
    return job.name, sum(job.repetitions.values())
