"""Parents of Batch jobs: jobs, arrays, and joins of more parents than Batch accepts.

If a job moves that all jobs of an array (`RunRecord.arrays`) come after, the array is submitted
again as a whole. Any other job that moves, and each job after it, leaves its array and is submitted
alone. Then the array can't succeed any more, so that a job that waits for the whole array waits for
the moved jobs instead, and for the results of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flowyml_aws.aws.batch.batch_job import BatchJob
from flowyml_aws.aws.names import batch_name
from flowyml_aws.planning.arrays import ArrayPlaces, Links, shared_moves
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.record import RunRecord

__all__ = ["Parents", "job_name"]

_MAX_PARENTS = 20  # https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
_JOIN_NEEDS = Needs(vcpus=1, memory_mib=512)


def job_name(record: RunRecord, job: PlannedJob, part: str = "") -> str:
    """Return the Batch job name of a job that runs alone, or of a part of it."""
    # Job names of a plan contain no dot, so these names are unique.
    submission = f".submission.{job.submission}" if job.submission else ""
    return batch_name(record.run_id, f"{job.name}{part}{submission}")


class Parents:
    """The parents of Batch jobs.

    Args:
        record: Record of the run.
        planned: Jobs of the plan by name.
        places: Places of the jobs in arrays.
    """

    def __init__(
        self, record: RunRecord, planned: Mapping[str, PlannedJob], places: ArrayPlaces
    ) -> None:
        self._record = record
        self._planned = planned
        self._places = places
        self._submissions = shared_moves(planned, places)
        self._alone = [
            frozenset(name for name in array if planned[name].submission != submission)
            for array, submission in zip(places.arrays, self._submissions, strict=True)
        ]

    def is_alone(self, job: str) -> bool:
        """Return whether a job is in no array, or has left it."""
        place = self._places.of(job)
        return place is None or job in self._alone[place[0]]

    def array_name(self, number: int, part: str = "") -> str:
        """Return the Batch job name of an array, or of a part of it.

        The name does not depend on the jobs that have left the array.
        """
        submission = self._submissions[number]
        suffix = f".submission.{submission}" if submission else ""
        first = self._places.arrays[number][0]
        return batch_name(self._record.run_id, f"{first}.array{part}{suffix}")

    def connected(
        self, unit: BatchJob, links: Links, jobs: Sequence[PlannedJob]
    ) -> Iterator[BatchJob]:
        """Yield a Batch job with its parents, after the jobs that join them.

        Args:
            unit: The job without its parents.
            links: Jobs and arrays that it waits for.
            jobs: Jobs of the plan that it runs.
        """
        names: list[str] = []
        awaits: list[str] = []
        single = [*links.jobs]
        for number in links.whole:
            if self._alone[number]:
                single += self._places.arrays[number]
            else:
                names.append(self.array_name(number))
        same_index = [self.array_name(number) for number in links.same_index]
        if not unit.children:
            place = self._places.of(unit.planned)
            single += [self._places.arrays[n][place[1]] for n in links.same_index if place]
            same_index = []
        for name in single:
            if self.is_alone(name):
                names.append(job_name(self._record, self._planned[name]))
            else:
                awaits.append(name)
        if len(names) + len(same_index) > _MAX_PARENTS:
            parents = [self._planned[parent] for parent in jobs[0].after]
            joins = list(self._joins(unit, jobs[0], parents, names, len(same_index)))
            yield from (replace(join, awaits=tuple(awaits)) for join in joins)
            joined = {parent for join in joins for parent in join.after}
            names = [name for name in (*names, *(j.name for j in joins)) if name not in joined]
        yield replace(
            unit,
            after=(*names, *same_index),
            same_index=tuple(same_index),
            awaits=tuple(awaits),
        )

    def _joins(
        self,
        unit: BatchJob,
        job: PlannedJob,
        parents: Sequence[PlannedJob],
        names: Sequence[str],
        others: int,
    ) -> Iterator[BatchJob]:
        """Yield jobs that each join up to 20 parents, until at most 20 are left with others."""
        # A machine of the parents is probably still up; the cheapest one is large enough.
        prices = {p.target: math.inf if (usd := p.price_usd_hour) is None else usd for p in parents}
        queue = min(prices, key=lambda target: prices[target])
        share = next(p.share for p in parents if p.target == queue)
        number = 0
        while len(names) > max(1, _MAX_PARENTS - others):
            level = []
            for start in range(0, len(names), _MAX_PARENTS):
                number += 1
                part, place = f".join.{number}", self._places.of(job.name)
                if unit.children and place is not None:
                    level.append(self.array_name(place[0], part))
                else:
                    level.append(job_name(self._record, job, part))
                yield BatchJob(
                    name=level[-1],
                    planned=unit.planned,
                    children=unit.children,
                    is_join=True,
                    queue=queue,
                    after=tuple(names[start : start + _MAX_PARENTS]),
                    command=("true",),
                    needs=_JOIN_NEEDS,
                    timeout_s=None,
                    share=share,
                )
            names = level
