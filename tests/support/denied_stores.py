"""Directories as stores that deny calls, as a policy does."""

from __future__ import annotations

from collections.abc import Sequence

from flowyml_aws.artifacts.layout import CACHE, LAYERS, SUMMARY
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.local.directory import DirectoryArtifactStore

__all__ = [
    "StoreWithoutDelete",
    "StoreWithoutNewLayers",
    "StoreWithoutReadableCache",
    "StoreWithoutSummaries",
]


class StoreWithoutDelete(DirectoryArtifactStore):
    """A store whose objects may not be deleted, as in the policy of jobs."""

    def delete(self, keys: Sequence[str]) -> None:
        """Deny the call."""
        raise AwsRefusedError("Can't delete objects", "AccessDenied", "allow s3:DeleteObject on it")


class StoreWithoutReadableCache(DirectoryArtifactStore):
    """A store whose cache entries may be written, but not read."""

    def get(self, key: str) -> bytes:
        """Return a document; deny the call for a cache entry."""
        if key.startswith(CACHE):
            raise AwsRefusedError(f"Can't read {key}", "AccessDenied", "allow s3:GetObject on it")
        return super().get(key)


class StoreWithoutNewLayers(DirectoryArtifactStore):
    """A store in which jobs may not store the packages that they have installed."""

    def create(self, key: str, data: bytes) -> bool:
        """Create a document; deny the call for a layer."""
        if key.startswith(LAYERS):
            raise AwsRefusedError(f"Can't write {key}", "AccessDenied", "allow s3:PutObject on it")
        return super().create(key, data)


class StoreWithoutSummaries(DirectoryArtifactStore):
    """A store in which jobs may write results, but no summaries of them."""

    def create(self, key: str, data: bytes) -> bool:
        """Create a document; deny the call for a summary."""
        if f"/{SUMMARY}" in key:
            raise AwsRefusedError(f"Can't write {key}", "AccessDenied", "allow s3:PutObject on it")
        return super().create(key, data)
