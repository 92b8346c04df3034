"""Declarations of folders as external inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import LocalData, S3Prefix
from flowyml_aws.core.data_inputs import contains_data
from flowyml_aws.core.errors import InvalidDataError


def test_local_data_takes_a_string_or_a_path() -> None:
    assert LocalData("data/") == LocalData(Path("data"))


@pytest.mark.parametrize("path", ["", None, 3])
def test_local_data_without_a_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidDataError, match="must be the path of a folder"):
        LocalData(path)


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://bucket/data/", "bucket", "data/"),
        ("s3://bucket/data", "bucket", "data/"),
        ("s3://bucket/a/b c/", "bucket", "a/b c/"),
        ("s3://bucket", "bucket", ""),
    ],
)
def test_a_prefix_ends_with_a_slash(uri: str, bucket: str, prefix: str) -> None:
    data = S3Prefix(uri)
    assert (data.bucket, data.prefix) == (bucket, prefix)
    assert data.uri == f"s3://{bucket}/{prefix}"


@pytest.mark.parametrize("uri", ["bucket/data", "https://bucket/data", "s3://", "s3:///data", ""])
def test_what_is_not_a_prefix_of_s3_is_refused(uri: str) -> None:
    with pytest.raises(InvalidDataError, match="it must be s3://BUCKET"):
        S3Prefix(uri)


def test_an_unknown_mode_is_refused_with_the_modes() -> None:
    with pytest.raises(InvalidDataError, match="download, mount, auto"):
        S3Prefix("s3://bucket/data", mode="stream")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [[LocalData("a")], (1, S3Prefix("s3://bucket")), {"a": LocalData("a")}]
)
def test_a_folder_in_a_collection_is_found(value: Any) -> None:
    assert contains_data(value)
    assert not contains_data("text")
