"""The store of a job, by its URI, its secrets, and the prefixes of S3 that it reads."""

from __future__ import annotations

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.runtime.data_folders import Prefixes
from flowyml_aws.runtime.log import say

__all__ = ["open_prefixes", "open_store", "resolve_secret"]


def open_store(uri: str, wait_s: float) -> ArtifactStore:
    """Open a store.

    Args:
        uri: URI of the store.
        wait_s: Seconds for which the job waits for a store that does not answer.
    """
    if uri.startswith("file://"):
        from flowyml_aws.local.directory import DirectoryArtifactStore

        return DirectoryArtifactStore.from_uri(uri, wait_s, say)
    from flowyml_aws.aws.s3.job_store import open_job_store

    return open_job_store(uri, wait_s, say)


def resolve_secret(reference: str) -> str:
    """Return the value of a reference to a secret.

    Raises:
        AwsRefusedError: It can't be read.
    """
    from flowyml_aws.aws.secrets import read_job_secret

    return read_job_secret(reference)


def open_prefixes(wait_s: float) -> Prefixes:
    """Open the access to prefixes of S3.

    Args:
        wait_s: Seconds for which it waits for S3 if that does not answer.
    """
    from flowyml_aws.aws.s3.prefixes import open_job_prefixes

    return open_job_prefixes(wait_s, say)
