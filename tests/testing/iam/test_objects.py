"""Permissions of requests to S3: "Required permissions for Amazon S3 API operations"."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.testing.iam.evaluation import decide
from flowyml_aws.testing.iam.needs import Need, list_need
from flowyml_aws.testing.iam.objects import s3_needs
from tests.testing.iam.requests import needs
from tests.testing.iam.statements import allow, user

BUCKET, OBJECT = "arn:aws:s3:::b", "arn:aws:s3:::b/folder/k"
TARGET: dict[str, Any] = {"Bucket": "b", "Key": "folder/k"}
UPLOAD = {**TARGET, "UploadId": "u"}


def pairs(found: list[Need]) -> list[tuple[str, str]]:
    return [(need.action, need.resource) for need in found]


@pytest.mark.parametrize(
    ("operation", "members", "expected"),
    [
        ("ListBuckets", {}, [("s3:ListAllMyBuckets", "arn:aws:s3:::*")]),
        ("CreateBucket", {"Bucket": "b"}, [("s3:CreateBucket", BUCKET)]),
        ("HeadBucket", {"Bucket": "b"}, [("s3:ListBucket", BUCKET)]),
        ("GetBucketLocation", {"Bucket": "b"}, [("s3:GetBucketLocation", BUCKET)]),
        ("GetBucketPolicy", {"Bucket": "b"}, [("s3:GetBucketPolicy", BUCKET)]),
        ("GetBucketEncryption", {"Bucket": "b"}, [("s3:GetEncryptionConfiguration", BUCKET)]),
        ("DeleteBucketEncryption", {"Bucket": "b"}, [("s3:PutEncryptionConfiguration", BUCKET)]),
        ("GetPublicAccessBlock", {"Bucket": "b"}, [("s3:GetBucketPublicAccessBlock", BUCKET)]),
        ("ListObjectsV2", {"Bucket": "b"}, [("s3:ListBucket", BUCKET)]),
        ("ListObjectVersions", {"Bucket": "b"}, [("s3:ListBucketVersions", BUCKET)]),
        ("ListMultipartUploads", {"Bucket": "b"}, [("s3:ListBucketMultipartUploads", BUCKET)]),
        ("GetObject", TARGET, [("s3:GetObject", OBJECT)]),
        ("GetObject", {"Bucket": "b", "Key": "é/"}, [("s3:GetObject", f"{BUCKET}/é/")]),
        ("GetObject", {**TARGET, "VersionId": "1"}, [("s3:GetObjectVersion", OBJECT)]),
        ("HeadObject", TARGET, [("s3:GetObject", OBJECT)]),
        (
            "GetObjectAttributes",
            {**TARGET, "ObjectAttributes": ["ETag"]},
            [("s3:GetObject", OBJECT), ("s3:GetObjectAttributes", OBJECT)],
        ),
        ("GetObjectTagging", TARGET, [("s3:GetObjectTagging", OBJECT)]),
        ("PutObject", TARGET, [("s3:PutObject", OBJECT)]),
        (
            "PutObject",
            {**TARGET, "Tagging": "a=b"},
            [("s3:PutObject", OBJECT), ("s3:PutObjectTagging", OBJECT)],
        ),
        (
            "PutObject",
            {**TARGET, "ACL": "private"},
            [("s3:PutObject", OBJECT), ("s3:PutObjectAcl", OBJECT)],
        ),
        ("CreateMultipartUpload", TARGET, [("s3:PutObject", OBJECT)]),
        ("UploadPart", {**UPLOAD, "PartNumber": 1}, [("s3:PutObject", OBJECT)]),
        ("CompleteMultipartUpload", UPLOAD, [("s3:PutObject", OBJECT)]),
        ("AbortMultipartUpload", UPLOAD, [("s3:AbortMultipartUpload", OBJECT)]),
        ("ListParts", UPLOAD, [("s3:ListMultipartUploadParts", OBJECT)]),
        ("DeleteObject", TARGET, [("s3:DeleteObject", OBJECT)]),
        ("DeleteObject", {**TARGET, "VersionId": "1"}, [("s3:DeleteObjectVersion", OBJECT)]),
        (
            "CopyObject",
            {**TARGET, "CopySource": "source/a%20b"},
            [("s3:GetObject", "arn:aws:s3:::source/a b"), ("s3:PutObject", OBJECT)],
        ),
        (
            "UploadPartCopy",
            {**UPLOAD, "PartNumber": 1, "CopySource": "source/k?versionId=1"},
            [("s3:GetObjectVersion", "arn:aws:s3:::source/k"), ("s3:PutObject", OBJECT)],
        ),
        (
            "DeleteObjects",
            {
                "Bucket": "b",
                "Delete": {"Objects": [{"Key": "a&b"}, {"Key": "c", "VersionId": "1"}]},
            },
            [("s3:DeleteObject", f"{BUCKET}/a&b"), ("s3:DeleteObjectVersion", f"{BUCKET}/c")],
        ),
    ],
)
def test_a_request_needs_the_documented_permissions(
    operation: str, members: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert pairs(needs("s3", operation, **members)) == expected


def context(operation: str, **members: Any) -> dict[str, Any]:
    (need,) = needs("s3", operation, **members)
    return {name: need.context[name] for name in need.context if name != "s3:authType"}


def test_a_listing_has_its_parameters_as_condition_keys() -> None:
    assert context("ListObjectsV2", Bucket="b", Prefix="runs/", Delimiter="/", MaxKeys=10) == {
        "s3:prefix": "runs/",
        "s3:delimiter": "/",
        "s3:max-keys": "10",
    }
    # Without the parameter, S3 uses its default.
    assert context("ListObjectsV2", Bucket="b") == {"s3:max-keys": "1000"}


def test_a_conditional_write_has_its_header_as_condition_key() -> None:
    keys = context("PutObject", **TARGET, IfNoneMatch="*")
    assert keys == {"s3:ObjectCreationOperation": "true", "s3:if-none-match": "*"}


def test_a_policy_can_require_conditional_writes_and_allow_parts() -> None:
    # S3 User Guide: conditional-writes-enforce, example 1
    put = {"Action": "s3:PutObject", "Resource": f"{BUCKET}/*", "Effect": "Allow"}
    creation = {"Bool": {"s3:ObjectCreationOperation": "false"}}
    writer = user(
        {**put, "Condition": {"Null": {"s3:if-none-match": "false"}}},
        {**put, "Condition": creation},
    )

    def may(operation: str, **members: Any) -> bool:
        return all(decide(need, writer).is_allowed for need in needs("s3", operation, **members))

    assert may("PutObject", **TARGET, IfNoneMatch="*")
    assert not may("PutObject", **TARGET)
    assert may("CreateMultipartUpload", **TARGET)
    assert may("UploadPart", **UPLOAD, PartNumber=1)
    assert not may("CompleteMultipartUpload", **UPLOAD)
    assert may("CompleteMultipartUpload", **UPLOAD, IfNoneMatch="*")


def test_tags_of_a_new_object_are_condition_keys() -> None:
    put, tagging = needs("s3", "PutObject", **TARGET, Tagging="team=ml")
    expected = {"s3:RequestObjectTag/team": "ml", "s3:RequestObjectTagKeys": ("team",)}
    for need in (put, tagging):
        assert expected.items() <= need.context.items()


def test_encryption_is_a_condition_key() -> None:
    keys = context("PutObject", **TARGET, ServerSideEncryption="aws:kms", SSEKMSKeyId="key")
    assert keys["s3:x-amz-server-side-encryption"] == "aws:kms"
    assert keys["s3:x-amz-server-side-encryption-aws-kms-key-id"] == "key"


def test_a_presigned_url_is_authenticated_by_its_query() -> None:
    (need,) = s3_needs("GetObject", "b/k", {"X-Amz-Signature": "s"}, {}, b"")
    assert need.context["s3:authType"] == "REST-QUERY-STRING"
    (need,) = needs("s3", "GetObject", **TARGET)
    assert need.context["s3:authType"] == "REST-HEADER"


def test_a_missing_object_is_reported_only_to_principals_that_may_list_the_bucket() -> None:
    need = list_need("b")
    assert (need.action, need.resource) == ("s3:ListBucket", BUCKET)
    by_prefix = allow("s3:ListBucket", BUCKET, Condition={"StringLike": {"s3:prefix": "a/*"}})
    assert decide(need, user(allow("s3:ListBucket", BUCKET))).is_allowed
    assert not decide(need, user(by_prefix)).is_allowed
