"""First jobs of queues: only for them, Batch reports that it has no capacity.

A queue starts its jobs in order, so all jobs after one without capacity wait, too: also those of
other runs, whose clients may have ended.
https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch.jobs import describe_jobs, waits_for_capacity
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = ["CHECK_INTERVAL_S", "QueueFronts", "front_of"]

CHECK_INTERVAL_S = 30.0
"""Seconds between two checks of a queue, and before the first one: most jobs start before."""


class QueueFronts:
    """The first jobs of the queues in which jobs of a run wait.

    Args:
        clock: Seconds since any start.
    """

    def __init__(self, batch: BatchClient, clock: Callable[[], float]) -> None:
        self._batch = batch
        self._clock = clock
        self._checked_at: dict[str, float] = {}
        self._lacking: set[str] = set()

    def without_capacity(self, queues: Collection[str]) -> Collection[str]:
        """Return those of some queues whose first job waits for capacity.

        Each queue is checked with one GetJobQueueSnapshot and one DescribeJobs call per interval.
        If AWS denies them or does not answer, the last answer counts; at first, there is none.

        Args:
            queues: Names of all queues in which jobs wait now.
        """
        now = self._clock()
        self._checked_at = {queue: self._checked_at.get(queue, now) for queue in queues}
        self._lacking.intersection_update(queues)
        for queue, checked_at in self._checked_at.items():
            if now - checked_at >= CHECK_INTERVAL_S:
                self._checked_at[queue] = now
                with suppress(AwsRefusedError):
                    self._check(queue)
        return frozenset(self._lacking)

    def _check(self, queue: str) -> None:
        first = [arn.rpartition("/")[2] for arn in front_of(self._batch, queue)[:1]]
        if any(map(waits_for_capacity, describe_jobs(self._batch, first))):
            self._lacking.add(queue)
        else:
            self._lacking.discard(queue)


def front_of(client: BatchClient, queue: str) -> list[str]:
    """Return the ARNs of a queue's first jobs, at most 100, in order.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    try:
        snapshot = client.get_job_queue_snapshot(jobQueue=queue)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"list the first jobs of queue {queue!r}") from error
    return [job["jobArn"] for job in snapshot["frontOfQueue"]["jobs"]]
