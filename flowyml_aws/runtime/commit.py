"""The commit of a job: its result, created once, and then the summary of the result."""

from __future__ import annotations

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.runtime.log import reporting
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.runtime.summary import JobSummary

__all__ = ["create_result", "create_summary"]


def create_result(store: ArtifactStore, result: JobResult, repetition: int = 0) -> bool:
    """Create the result of a job with its summary. Return False if it has a result already.

    Args:
        store: Store of the run.
        result: The result.
        repetition: Number of the repetition of the job; 0 for the first execution.
    """
    key = RunLayout(result.run_id).result(result.job, repetition)
    if not store.create(key, result.to_json()):
        return False
    create_summary(store, result, repetition)
    return True


def create_summary(store: ArtifactStore, result: JobResult, repetition: int = 0) -> None:
    """Create the summary of a committed result, if it is short enough for a key."""
    name = JobSummary.of(result).to_name()
    if name is None:
        return
    # Without a summary, clients read the result.
    key = RunLayout(result.run_id).summary(result.job, name, repetition)
    with reporting("could not write the summary of the result"):
        store.create(key, b"")
