"""Reads what jobs have measured of their use of the machine."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import USAGE, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.runtime.usage import JobUsage

__all__ = ["read_usages"]


def read_usages(
    store: ArtifactStore, run_id: str, attempts: Mapping[str, int]
) -> dict[str, JobUsage]:
    """Return the use of the machine by attempts that have left it, by job, with a GET for each.

    A document of another version of flowyml-aws is left out, too.

    Args:
        store: Store of the run.
        run_id: Id of the run.
        attempts: Number of the attempt of each job; 0 before the first.
    """
    layout = RunLayout(run_id)

    def read(job: str) -> JobUsage | None:
        key = layout.attempt(job, attempts[job], USAGE)
        try:
            return read_document(JobUsage, store.get(key), f"{store.uri}/{key}")
        except (ArtifactNotFoundError, DamagedArtifactError):
            return None

    jobs = [job for job, attempt in attempts.items() if attempt]
    usages = zip(jobs, map_concurrently(read, jobs, limit=STORE_REQUESTS), strict=True)
    return {job: usage for job, usage in usages if usage is not None}
