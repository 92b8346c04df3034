"""Identification of the API call in an HTTP request to the emulator."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, unquote

__all__ = [
    "ApiCall",
    "ApiRequest",
    "api_call",
    "headers_of",
    "query_of",
    "read_body",
    "signing_key",
    "signing_scope",
]

_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")

_BATCH = {
    name.lower(): name
    for name in (
        *("CancelJob", "DescribeJobs", "ListJobs", "SubmitJob", "TerminateJob"),
        *("DeregisterJobDefinition", "DescribeJobDefinitions", "RegisterJobDefinition"),
        *("CreateJobQueue", "DeleteJobQueue", "DescribeJobQueues", "UpdateJobQueue"),
        *("CreateComputeEnvironment", "DeleteComputeEnvironment"),
        *("DescribeComputeEnvironments", "UpdateComputeEnvironment", "GetJobQueueSnapshot"),
    )
}
_BATCH_TAGS = "/v1/tags/"
_BATCH_TAGGING = {
    "GET": "ListTagsForResource",
    "POST": "TagResource",
    "DELETE": "UntagResource",
}
# (method, first part of the path, whether a name follows) -> operation
_SCHEDULER = {
    ("GET", "schedules", False): "ListSchedules",
    ("GET", "schedule-groups", False): "ListScheduleGroups",
    **{
        (method, kind, True): f"{verb}{title}"
        for kind, title in (("schedules", "Schedule"), ("schedule-groups", "ScheduleGroup"))
        for method, verb in (
            *(("GET", "Get"), ("POST", "Create"), ("PUT", "Update"), ("DELETE", "Delete")),
        )
    },
    ("GET", "tags", True): "ListTagsForResource",
    ("POST", "tags", True): "TagResource",
    ("DELETE", "tags", True): "UntagResource",
}
# Settings of buckets and of objects, by query parameter: `?policy` is for GetBucketPolicy.
_BUCKET_SETTINGS = {
    "acl": "BucketAcl",
    "cors": "BucketCors",
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "logging": "BucketLogging",
    "notification": "BucketNotificationConfiguration",
    "object-lock": "ObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "policyStatus": "BucketPolicyStatus",
    "publicAccessBlock": "PublicAccessBlock",
    "replication": "BucketReplication",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "website": "BucketWebsite",
}
_OBJECT_SETTINGS = {
    "acl": "ObjectAcl",
    "legal-hold": "ObjectLegalHold",
    "retention": "ObjectRetention",
    "tagging": "ObjectTagging",
}
# (method, whether the URL has a key, distinguishing query parameter or header) -> operation
_S3 = {
    **{
        (method, has_key, parameter): f"{method.capitalize()}{setting}"
        for has_key, settings in ((False, _BUCKET_SETTINGS), (True, _OBJECT_SETTINGS))
        for parameter, setting in settings.items()
        for method in ("GET", "PUT", "DELETE")
    },
    ("GET", False, "list-type"): "ListObjectsV2",
    ("GET", False, "location"): "GetBucketLocation",
    ("GET", False, "uploads"): "ListMultipartUploads",
    ("GET", False, "versions"): "ListObjectVersions",
    ("GET", False, ""): "ListObjects",
    ("HEAD", False, ""): "HeadBucket",
    ("PUT", False, ""): "CreateBucket",
    ("DELETE", False, ""): "DeleteBucket",
    ("POST", False, "delete"): "DeleteObjects",
    ("GET", True, "uploadId"): "ListParts",
    ("GET", True, "attributes"): "GetObjectAttributes",
    ("GET", True, ""): "GetObject",
    ("HEAD", True, ""): "HeadObject",
    ("PUT", True, "uploadId"): "UploadPart",
    ("PUT", True, "x-amz-copy-source"): "CopyObject",
    ("PUT", True, ""): "PutObject",
    ("POST", True, "uploads"): "CreateMultipartUpload",
    ("POST", True, "restore"): "RestoreObject",
    ("POST", True, "uploadId"): "CompleteMultipartUpload",
    ("DELETE", True, "uploadId"): "AbortMultipartUpload",
    ("DELETE", True, ""): "DeleteObject",
}
_RESOURCE_MEMBERS = (
    *("jobName", "jobId", "jobDefinitionName", "jobDefinition", "jobQueue", "jobQueueName"),
    *("computeEnvironmentName", "computeEnvironment", "logStreamName", "logGroupName", "Name"),
    *("TrainingJobName", "NameContains", "ResourceArn"),
)


class ApiCall(NamedTuple):
    """One call that reached the emulator.

    Attributes:
        service: Name as in boto3: `batch`, `s3`, `logs`, …
        operation: Name as in the API reference: `SubmitJob`, `PutObject`, …
        resource: Resource of the call, if cheap to determine: a job name or id, `bucket/key`, …
    """

    service: str
    operation: str
    resource: str


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A call with everything that decides whether AWS would allow it.

    Attributes:
        caller: Name of the caller's role or user.
        body: Request body; empty for the content of an object.
        status: HTTP status of the response; 0 before there is one.
        query: Parameters of the URL.
        headers: Headers with names in lower case.
    """

    call: ApiCall
    caller: str
    body: bytes
    status: int = 0
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def read_body(environ: Mapping[str, Any]) -> bytes:
    """Return the body of a WSGI request, which can be read once."""
    if length := environ.get("CONTENT_LENGTH"):
        return bytes(environ["wsgi.input"].read(int(length)))
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return b""


def signing_scope(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Return the region and service of a request's signature; S3 in us-east-1 if unsigned."""
    match = _credential_scope(environ)
    return (match[2], match[3]) if match else ("us-east-1", "s3")


def query_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a WSGI request's URL."""
    return dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a WSGI request, with names in lower case."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }


def signing_key(environ: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the access key and session token of a request; the key is empty if unsigned."""
    query = {name.lower(): value for name, value in query_of(environ).items()}
    match = _credential_scope(environ)
    # Presigned URLs of S3 may have a signature of version 2.
    key = match[1] if match else query.get("awsaccesskeyid", "")
    return key, environ.get("HTTP_X_AMZ_SECURITY_TOKEN", query.get("x-amz-security-token"))


def _credential_scope(environ: Mapping[str, Any]) -> re.Match[str] | None:
    header = environ.get("HTTP_AUTHORIZATION", "")
    if not header and "X-Amz-Credential" in (query := parse_qs(environ.get("QUERY_STRING", ""))):
        header = f"Credential={query['X-Amz-Credential'][0]}"
    return _SCOPE.search(header)


def api_call(environ: Mapping[str, Any], body: bytes) -> ApiCall:
    """Return the API call of a WSGI request whose body has been read."""
    _, service = signing_scope(environ)
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if service == "s3":
        return ApiCall(service, _s3_operation(environ, method, path), _s3_resource(path))
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return ApiCall(service, target.rpartition(".")[2], _resource(body))
    if service == "batch" and path.startswith(_BATCH_TAGS):
        return ApiCall(service, _BATCH_TAGGING[method], path.removeprefix(_BATCH_TAGS))
    if service == "batch":
        operation = _BATCH.get(path.rpartition("/")[2])
        return ApiCall(service, operation or f"{method} {path}", _resource(body))
    if service == "scheduler":
        return _scheduler_call(environ, method, path, body)
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        action = parse_qs(body.decode()).get("Action", [path])[0]
        return ApiCall(service, action, "")
    if "/operation/" in path:  # the protocol of CloudWatch: Smithy RPC
        return ApiCall(service, path.rpartition("/")[2], "")
    return ApiCall(service, f"{method} {path}", "")


def _scheduler_call(environ: Mapping[str, Any], method: str, path: str, body: bytes) -> ApiCall:
    """Return the call of EventBridge Scheduler, whose resource is `GROUP/NAME` or a group."""
    kind, _, name = unquote(path).strip("/").partition("/")
    operation = _SCHEDULER.get((method, kind, bool(name)), f"{method} {path}")
    if kind != "schedules" or not name:
        return ApiCall("scheduler", operation, name)
    group = query_of(environ).get("groupName") or _member(body, "GroupName") or "default"
    return ApiCall("scheduler", operation, f"{group}/{name}")


def _member(body: bytes, name: str) -> str:
    try:
        members = json.loads(body) if body else {}
    except ValueError:
        return ""
    return str(members.get(name) or "")


def _s3_resource(path: str) -> str:
    """Return the bucket, or the bucket and the key, which may end with a slash."""
    bucket, _, key = path.removeprefix("/").partition("/")
    # WSGI passes the bytes of the path as Latin-1.
    return f"{bucket}/{key}".encode("latin-1").decode(errors="replace") if key else bucket


def _s3_operation(environ: Mapping[str, Any], method: str, path: str) -> str:
    if path == "/":
        return "ListBuckets"
    has_key = "/" in path.strip("/")
    markers = [*parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)]
    if "HTTP_X_AMZ_COPY_SOURCE" in environ:
        markers.append("x-amz-copy-source")
    operations = (_S3.get((method, has_key, marker)) for marker in (*markers, ""))
    return next((operation for operation in operations if operation), f"{method} {path}")


def _resource(body: bytes) -> str:
    try:
        members = json.loads(body) if body else {}
    except ValueError:
        return ""
    return next((str(members[name]) for name in _RESOURCE_MEMBERS if name in members), "")
