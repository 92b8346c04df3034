"""Fixtures for empty artifact stores of each type."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.moto_server import running_moto_server
from tests.support.s3_client import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

STORES = ["directory", pytest.param("s3", marks=pytest.mark.contract)]  # S3 needs a server

__all__ = ["STORES", "bucket", "date_back", "moto_url", "overwrite", "s3", "store"]


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with running_moto_server() as url:
        yield url


@pytest.fixture
def s3(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """Client of moto's server that does not wait before it repeats a call."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    client = s3_client(moto_url)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """Create a bucket and return its name."""
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "directory":
        return DirectoryArtifactStore(tmp_path / "store")
    client = request.getfixturevalue("s3")
    return S3ArtifactStore(client, request.getfixturevalue("bucket"), "team/project")


def overwrite(store: ArtifactStore, key: str, data: bytes) -> None:
    """Write an object, also if it is written once and exists."""
    store.delete([key])
    store.put(key, data)


def date_back(store: ArtifactStore, key: str, seconds: float) -> None:
    """Set the modification time of an object to some seconds ago."""
    when = time.time() - seconds
    if isinstance(store, DirectoryArtifactStore):
        os.utime(store.path(key), (when, when))
        return
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys[f"{prefix}/{key}"]
    stored.last_modified = datetime.fromtimestamp(when, timezone.utc).replace(tzinfo=None)
