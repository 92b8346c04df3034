"""Prefixes of S3 as inputs: what is listed, and what jobs get."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowyml_aws import S3Prefix
from flowyml_aws.artifacts.content import PART_BYTES
from flowyml_aws.aws.s3.prefixes import S3Prefixes
from flowyml_aws.core.errors import ChangedFileError, InvalidDataError
from tests.support.stores import bucket, moto_url, s3

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["bucket", "moto_url", "s3"]

pytestmark = pytest.mark.contract

LARGE = bytes(range(256)) * (PART_BYTES // 256) + b"end"
OBJECTS = {"a.csv": b"1,2", "deep/grün 1.csv": b"", "large.bin": LARGE}


@pytest.fixture
def prefixes(s3: S3Client) -> S3Prefixes:
    return S3Prefixes(s3)


@pytest.fixture
def prefix(s3: S3Client, bucket: str) -> S3Prefix:
    for path, data in OBJECTS.items():
        s3.put_object(Bucket=bucket, Key=f"data/{path}", Body=data)
    s3.put_object(Bucket=bucket, Key="data/", Body=b"")
    s3.put_object(Bucket=bucket, Key="data/folder of the console/", Body=b"")
    s3.put_object(Bucket=bucket, Key="data2/other.csv", Body=b"no")
    return S3Prefix(f"s3://{bucket}/data")


def test_a_job_gets_the_objects_below_the_prefix_as_files(
    prefixes: S3Prefixes, prefix: S3Prefix, tmp_path: Path
) -> None:
    listing = prefixes.listing(prefix)
    assert {each.path: each.size_bytes for each in listing.objects} == {
        path: len(data) for path, data in OBJECTS.items()
    }
    folder = prefixes.download(listing, "data", tmp_path / "new")
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == OBJECTS


def test_objects_that_were_written_after_the_listing_are_not_read(
    prefixes: S3Prefixes, prefix: S3Prefix, s3: S3Client, tmp_path: Path
) -> None:
    listing = prefixes.listing(prefix)
    s3.put_object(Bucket=prefix.bucket, Key="data/new.csv", Body=b"3")
    assert not (prefixes.download(listing, "data", tmp_path) / "new.csv").exists()
    assert prefixes.listing(prefix) != listing


@pytest.mark.parametrize("change", ["written", "shorter", "deleted"])
def test_an_object_that_changed_after_the_listing_fails_the_job_and_leaves_nothing(
    prefixes: S3Prefixes, prefix: S3Prefix, s3: S3Client, tmp_path: Path, change: str
) -> None:
    listing = prefixes.listing(prefix)
    if change == "deleted":
        s3.delete_object(Bucket=prefix.bucket, Key="data/a.csv")
    else:
        body = b"1,3" if change == "written" else b"1"
        s3.put_object(Bucket=prefix.bucket, Key="data/a.csv", Body=body)
    with pytest.raises(ChangedFileError, match=r"data/a\.csv has changed since the run was"):
        prefixes.download(listing, "data", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["data/a.csv", "data/new.csv"])
def test_a_mounted_prefix_must_have_exactly_the_objects_of_the_listing(
    prefixes: S3Prefixes, prefix: S3Prefix, s3: S3Client, key: str
) -> None:
    listing = prefixes.listing(prefix)
    prefixes.check(listing)
    s3.put_object(Bucket=prefix.bucket, Key=key, Body=b"new")
    with pytest.raises(ChangedFileError, match=f"{key} has changed since the run was planned"):
        prefixes.check(listing)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("data/a//b", "a part of its key is empty"),
        ("data/../b", "a part of its key is empty"),
        ("data/a.csv/b", "it would be a file and a folder"),
    ],
)
def test_a_key_that_can_not_be_a_path_is_refused(
    prefixes: S3Prefixes, prefix: S3Prefix, s3: S3Client, key: str, reason: str
) -> None:
    s3.put_object(Bucket=prefix.bucket, Key=key, Body=b"1")
    with pytest.raises(InvalidDataError, match=reason):
        prefixes.listing(prefix)


def test_a_prefix_without_objects_is_refused(prefixes: S3Prefixes, bucket: str) -> None:
    with pytest.raises(InvalidDataError, match=f"S3 prefix is empty: s3://{bucket}/nothing/"):
        prefixes.listing(S3Prefix(f"s3://{bucket}/nothing"))


def test_a_bucket_that_does_not_exist_is_named(prefixes: S3Prefixes) -> None:
    with pytest.raises(InvalidDataError, match="S3 bucket not found: s3://no-such-bucket-4711/"):
        prefixes.listing(S3Prefix("s3://no-such-bucket-4711/data"))
