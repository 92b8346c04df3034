"""The store of a job, by its URI, its secrets, and the prefixes of S3 that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowyml_aws.job.first_reads import FirstReads
from flowyml_aws.runtime.argument import IndexArgument, SpecArgument
from flowyml_aws.runtime.log import say

if TYPE_CHECKING:
    from flowyml_aws.artifacts.store import ArtifactStore
    from flowyml_aws.runtime.data_folders import Prefixes

__all__ = ["open_prefixes", "open_store", "resolve_secret", "start_reads"]


def start_reads(place: SpecArgument | IndexArgument) -> FirstReads | None:
    """Start to read the spec and the code of a job; None if they are on this machine."""
    if place.store.startswith("file://"):
        return None
    from flowyml_aws.aws.s3.job_client import plain_reader

    return FirstReads(plain_reader(place.store), place)


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
