"""Fixtures: every kind of artifact store, empty."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.s3 import S3ArtifactStore
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.moto_server import running_moto_server, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["bucket", "moto_url", "s3", "store"]


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with running_moto_server() as url:
        yield url


@pytest.fixture
def s3(moto_url: str) -> Iterator[S3Client]:
    client = s3_client(moto_url)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """The name of a new bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "directory":
        return DirectoryArtifactStore(tmp_path / "store")
    client = request.getfixturevalue("s3")
    return S3ArtifactStore(client, request.getfixturevalue("bucket"), "team/project")
