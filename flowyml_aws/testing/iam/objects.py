"""Permissions that requests to S3 need.

Sources: "Required permissions for Amazon S3 API operations" and "Policy actions and condition keys"
in the S3 User Guide, and the Service Authorization Reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import unescape

from flowyml_aws.testing.iam.conditions import Values
from flowyml_aws.testing.iam.permissions import Need

__all__ = ["list_need", "s3_needs"]


def _put(setting: str, action: str) -> dict[str, str]:
    """Return the operations that change a setting: they need the same permission."""
    return {f"Put{setting}": f"Put{action}", f"Delete{setting}": f"Put{action}"}


_BUCKET_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketCors": "GetBucketCORS",
    **_put("BucketCors", "BucketCORS"),
    "GetBucketEncryption": "GetEncryptionConfiguration",
    **_put("BucketEncryption", "EncryptionConfiguration"),
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    **_put("BucketLifecycleConfiguration", "LifecycleConfiguration"),
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    **_put("BucketNotificationConfiguration", "BucketNotification"),
    "GetBucketReplication": "GetReplicationConfiguration",
    **_put("BucketReplication", "ReplicationConfiguration"),
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    **_put("ObjectLockConfiguration", "BucketObjectLockConfiguration"),
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    **_put("PublicAccessBlock", "BucketPublicAccessBlock"),
    **_put("BucketOwnershipControls", "BucketOwnershipControls"),
    **_put("BucketTagging", "BucketTagging"),
}
_OBJECT_ACTIONS = {
    "HeadObject": ("GetObject",),
    "GetObjectAttributes": ("GetObject", "GetObjectAttributes"),
    "CopyObject": ("PutObject",),
    "CreateMultipartUpload": ("PutObject",),
    "UploadPart": ("PutObject",),
    "CompleteMultipartUpload": ("PutObject",),
    "ListParts": ("ListMultipartUploadParts",),
}
# With a version id, these actions have another name.
_OF_VERSIONS = {
    "GetObject": "GetObjectVersion",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
}
_CREATES_OBJECT = ("PutObject", "CopyObject", "CompleteMultipartUpload")
# Headers that are condition keys of s3:PutObject.
_PUT_HEADERS = (
    *("x-amz-acl", "x-amz-copy-source", "x-amz-metadata-directive", "x-amz-storage-class"),
    *("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"),
    *("x-amz-website-redirect-location", "if-match", "if-none-match"),
)
_DELETED = re.compile(r"<Object>.*?<Key>(.+?)</Key>.*?</Object>", re.DOTALL)
_VERSION = re.compile(r"<VersionId>(.+?)</VersionId>")


def list_need(bucket: str) -> Need:
    """Return the permission without which S3 answers 403 instead of 404 for a missing object."""
    return Need("s3:ListBucket", _arn(bucket))


def s3_needs(
    operation: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> Iterator[Need]:
    """Yield the permissions that a request to S3 needs.

    Args:
        operation: Operation of the API: `GetObject`.
        path: Bucket and key: `bucket/folder/name`.
        query: Parameters of the URL.
        headers: Headers with names in lower case.
        body: Body of the request.
    """
    bucket, _, key = path.partition("/")
    common = {"s3:authType": "REST-QUERY-STRING" if "X-Amz-Signature" in query else "REST-HEADER"}
    if operation == "ListBuckets":
        yield Need("s3:ListAllMyBuckets", "arn:aws:s3:::*", common)
    elif operation == "DeleteObjects":
        for deleted in _DELETED.finditer(body.decode()):
            name = "DeleteObjectVersion" if _VERSION.search(deleted[0]) else "DeleteObject"
            yield Need(f"s3:{name}", _arn(bucket, unescape(deleted[1])), common)
    elif key:
        yield from _object_needs(operation, bucket, key, query, headers, common)
    else:
        action = _BUCKET_ACTIONS.get(operation, operation)
        yield Need(f"s3:{action}", _arn(bucket), {**common, **_listing_keys(action, query)})


def _arn(bucket: str, key: str = "") -> str:
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def _listing_keys(action: str, query: Mapping[str, str]) -> dict[str, Values]:
    if action not in ("ListBucket", "ListBucketVersions"):
        return {}
    keys: dict[str, Values] = {"s3:max-keys": query.get("max-keys", "1000")}
    return keys | {f"s3:{name}": query[name] for name in ("prefix", "delimiter") if name in query}


def _object_needs(
    operation: str,
    bucket: str,
    key: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    common: Mapping[str, Values],
) -> Iterator[Need]:
    arn = _arn(bucket, key)
    version = query.get("versionId")
    if source := headers.get("x-amz-copy-source"):
        yield _source_need(source, common)
    for action in _OBJECT_ACTIONS.get(operation, (operation,)):
        keys = dict(common)
        if action == "PutObject":
            keys |= _put_keys(operation, headers)
        if version:
            keys["s3:VersionId"] = version
            action = _OF_VERSIONS.get(action, action)
        yield Need(f"s3:{action}", arn, keys)
    if tags := headers.get("x-amz-tagging"):
        pairs = dict(parse_qsl(tags, keep_blank_values=True))
        yield Need("s3:PutObjectTagging", arn, {**common, **_tag_keys(pairs)})
    if operation != "PutObjectAcl" and any(
        name == "x-amz-acl" or name.startswith("x-amz-grant-") for name in headers
    ):
        yield Need("s3:PutObjectAcl", arn, {**common, **_put_keys(operation, headers)})


def _source_need(source: str, common: Mapping[str, Values]) -> Need:
    path, _, version = unquote(source).lstrip("/").partition("?versionId=")
    bucket, _, key = path.partition("/")
    action = "GetObjectVersion" if version else "GetObject"
    return Need(f"s3:{action}", _arn(bucket, key), common)


def _put_keys(operation: str, headers: Mapping[str, str]) -> dict[str, Values]:
    # A policy can require conditional writes without denying the parts of multipart uploads.
    keys: dict[str, Values] = {
        "s3:ObjectCreationOperation": str(operation in _CREATES_OBJECT).lower()
    }
    keys |= {f"s3:{name}": headers[name] for name in _PUT_HEADERS if name in headers}
    pairs = dict(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True))
    return keys | _tag_keys(pairs)


def _tag_keys(tags: Mapping[str, str]) -> dict[str, Values]:
    if not tags:
        return {}
    keys: dict[str, Values] = {f"s3:RequestObjectTag/{name}": tags[name] for name in tags}
    return keys | {"s3:RequestObjectTagKeys": tuple(tags)}
