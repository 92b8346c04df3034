"""States of the children of array jobs, from few descriptions.

DescribeJobs of an array has the number of its children in each state (`statusSummary`). While these
numbers agree with the known states, no child is described for its own sake. Otherwise, children are
described until they do: first those that were active, then the next ones in the order of their
indexes, in which Batch starts them.

Sources: ArrayPropertiesDetail and DescribeJobs in the API reference of AWS Batch. AWS does not
document how late the numbers may be; late ones only cost calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from flowyml_aws.aws.batch.batch_job import child_id
from flowyml_aws.aws.batch.jobs import JOBS_PER_CALL, describe_jobs, has_ended

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef

__all__ = ["ChildStates", "JobPoller", "array_counts"]

_ACTIVE = ("STARTING", "RUNNING")
_ENDED = ("SUCCEEDED", "FAILED")
_BEFORE_START = ("SUBMITTED", "PENDING", "RUNNABLE")


class ChildStates:
    """The states of the children of one array, as one client knows them.

    Args:
        size: Number of children.
    """

    def __init__(self, size: int) -> None:
        self._states: list[str | None] = [None] * size
        self._is_certain = [False] * size

    def begin_poll(self) -> None:
        """Doubt the states of all children that have not ended."""
        self._is_certain = [state in _ENDED for state in self._states]

    def describe(self, index: int, state: str) -> None:
        """Note the state of a child that was just described."""
        self._states[index] = state
        self._is_certain[index] = True

    def doubtful(self) -> list[int]:
        """Return the children whose state has to be described, those that were active first."""
        indexes = (index for index, certain in enumerate(self._is_certain) if not certain)
        return sorted(indexes, key=lambda index: self._states[index] not in _ACTIVE)

    def infer(self, counts: Mapping[str, int]) -> dict[int, str] | None:
        """Return new states of children that need not be described; None if some have to be.

        Args:
            counts: Number of children by state.
        """
        doubtful = self.doubtful()
        known = Counter(
            state for state, certain in zip(self._states, self._is_certain, strict=True) if certain
        )
        others = {
            state: count - known[state] for state, count in counts.items() if count != known[state]
        }
        if not doubtful or others == Counter(self._states[index] for index in doubtful):
            return {}
        for state in _BEFORE_START:
            if others == {state: len(doubtful)}:
                new = {index: state for index in doubtful if self._states[index] != state}
                for index in doubtful:
                    self.describe(index, state)
                return new
        return None


class JobPoller:
    """Describes jobs with few calls.

    Args:
        batch: Batch client.

    Attributes:
        arrays: Ids of the arrays that Batch knew at the last poll.
    """

    def __init__(self, batch: BatchClient) -> None:
        self.arrays: frozenset[str] = frozenset()
        self._batch = batch
        self._arrays: dict[str, ChildStates] = {}

    def poll(self, jobs: Sequence[str], arrays: Mapping[str, int]) -> Iterator[JobDetailTypeDef]:
        """Yield the details of jobs, and of children of arrays whose state may have changed.

        The details of a child that was not described are those of its array, with its state.

        Args:
            jobs: Ids of jobs without children.
            arrays: Number of children of each array job, by its id.

        Raises:
            AwsRefusedError: AWS denied the call.
        """
        for array_id, size in arrays.items():
            self._arrays.setdefault(array_id, ChildStates(size)).begin_poll()
        parents: dict[str, JobDetailTypeDef] = {}
        first = [*jobs, *arrays]
        for detail in self._described([*first, *self._likely(arrays, -len(first))]):
            if detail["jobId"] in arrays:
                parents[detail["jobId"]] = detail
            else:
                yield detail
        self.arrays = frozenset(parents)
        for array_id, parent in parents.items():
            yield from self._others(array_id, parent)

    def _likely(self, arrays: Iterable[str], places: int) -> list[str]:
        """Return ids of children that may have changed, as many as one more call describes."""
        doubtful = {array_id: self._arrays[array_id].doubtful() for array_id in arrays}
        waiting = {array_id: indexes for array_id, indexes in doubtful.items() if indexes}
        if not waiting:
            return []
        each = max(1, (places % JOBS_PER_CALL) // len(waiting))
        return [
            child_id(array_id, index)
            for array_id, indexes in waiting.items()
            for index in indexes[:each]
        ]

    def _others(self, array_id: str, parent: JobDetailTypeDef) -> Iterator[JobDetailTypeDef]:
        """Yield the details of children until the numbers of their array explain the others."""
        states = self._arrays[array_id]
        counts = array_counts(parent)
        while (inferred := states.infer(counts)) is None:
            indexes = states.doubtful()[:JOBS_PER_CALL]
            yield from self._described([child_id(array_id, index) for index in indexes])
            for index in set(indexes).intersection(states.doubtful()):
                # Batch does not know it yet, or has failed the array without its children.
                yield _detail_of_child(parent, index, parent["status"])
                states.describe(index, parent["status"])
        for index, state in inferred.items():
            yield _detail_of_child(parent, index, state)

    def _described(self, ids: Sequence[str]) -> Iterator[JobDetailTypeDef]:
        for detail in describe_jobs(self._batch, ids):
            yield detail
            # Not before: after an error of the caller, the next poll describes the child again.
            array_id, _, index = detail["jobId"].rpartition(":")
            if array_id in self._arrays:
                self._arrays[array_id].describe(int(index), detail["status"])


def array_counts(array: JobDetailTypeDef) -> dict[str, int]:
    """Return the number of children of an array by state, without states that no child has."""
    properties = array.get("arrayProperties", {})
    counts = {state: n for state, n in properties.get("statusSummary", {}).items() if n}
    if not counts and not has_ended(array):
        # Its children do not exist yet.
        return {array["status"]: properties.get("size", 0)}
    return counts


def _detail_of_child(array: JobDetailTypeDef, index: int, state: str) -> JobDetailTypeDef:
    detail = array.copy()
    detail["jobId"] = child_id(array["jobId"], index)
    detail["jobArn"] = child_id(array["jobArn"], index)
    detail["status"] = state  # type: ignore[typeddict-item]  # as Batch reports it
    return detail
