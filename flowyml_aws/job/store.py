"""The store of a job, by its URI, its secrets, and the prefixes of S3 that it reads."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.runtime.log import say

__all__ = ["download_prefix", "open_store", "resolve_secret"]


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


def download_prefix(listing: PrefixListing, asset: str, folder: Path, wait_s: float) -> Path:
    """Write the objects below a prefix of S3 to a new folder, and return its path.

    Args:
        listing: The objects.
        asset: Name of the asset.
        folder: Folder that gets the new one.
        wait_s: Seconds for which it waits for S3 if that does not answer.

    Raises:
        ChangedFileError: An object was changed or deleted.
        AwsRefusedError: An object can't be read.
    """
    from flowyml_aws.aws.s3.prefixes import open_job_prefixes

    return open_job_prefixes(wait_s, say).download(listing, asset, folder)
