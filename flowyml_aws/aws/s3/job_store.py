"""The S3 store of a job, opened by the runner with the credentials of the job's role."""

from __future__ import annotations

from collections.abc import Callable

from flowyml_aws.aws.s3.job_client import job_client
from flowyml_aws.aws.s3.patience import Repetition, patience_of_job
from flowyml_aws.aws.s3.store import S3ArtifactStore

__all__ = ["open_job_store"]


def open_job_store(uri: str, wait_s: float, say: Callable[[str], None]) -> S3ArtifactStore:
    """Return the store at a URI.

    Args:
        uri: URI of the store.
        wait_s: Seconds for which calls are repeated during an outage.
        say: Called with a sentence when an outage begins and when it ends.

    Raises:
        SettingsError: The URI is not that of an S3 store.
    """
    repeat = Repetition(patience_of_job(wait_s), say)
    return S3ArtifactStore.from_uri(job_client(), uri, repeat)
