"""Simulation of IAM: evaluation of policies, and the permissions that each API call needs.

The permissions are those in AWS's Service Authorization Reference, for the operations that
flowyml-aws uses. Any other operation is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

from flowyml_aws.testing.calls import ApiRequest

__all__ = ["Need", "Policy", "needs_of"]

TAG = "flowyml-aws:run"


@dataclass(frozen=True)
class Need:
    """An action on a resource that a request needs permission for."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


class Policy:
    """An identity-based policy with only `Allow` statements."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        assert document["Version"] == "2012-10-17"
        self._statements = document["Statement"]
        assert {s["Effect"] for s in self._statements} == {"Allow"}

    @property
    def grants(self) -> set[tuple[str, str]]:
        """All granted actions, each with a resource pattern."""
        return {
            (action, resource)
            for statement in self._statements
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
        }

    def grants_used(self, need: Need) -> set[tuple[str, str]]:
        """Return the grants that allow the need; none if it is denied."""
        return {
            (action, resource)
            for statement in self._statements
            if _holds(statement.get("Condition", {}), need.context)
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
            if _matches(action.lower(), need.action.lower()) and _matches(resource, need.resource)
        }


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    for operator, keys in conditions.items():
        assert operator in ("StringEquals", "StringLike"), (
            f"unsupported condition operator: {operator}"
        )
        for key, values in keys.items():
            if key not in context:
                return False
            if operator == "StringEquals" and context[key] not in _listed(values):
                return False
            if not any(_matches(value, context[key]) for value in _listed(values)):
                return False
    return True


# Operations that support only the resource "*", or that flowyml-aws uses on all resources.
_ON_ALL_RESOURCES = {
    ("batch", "DescribeComputeEnvironments"),
    ("batch", "DescribeJobDefinitions"),
    ("batch", "DescribeJobQueues"),
    ("batch", "DescribeJobs"),
    ("batch", "ListJobs"),
    ("ec2", "DescribeInstanceTypeOfferings"),
    ("ec2", "DescribeInstanceTypes"),
    ("ec2", "DescribeSpotPriceHistory"),
    ("pricing", "GetProducts"),
    ("sagemaker", "ListTrainingJobs"),
}
_S3_OBJECT = {
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "PutObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "DeleteObject": "DeleteObject",
}
_S3_BUCKET = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketEncryption": "GetEncryptionConfiguration",
}


def needs_of(request: ApiRequest, account: str, region: str) -> Iterator[Need]:
    """Yield the permissions that the caller of a request needs."""
    service, operation, resource = request.call
    if service == "sts" and operation == "GetCallerIdentity":
        return  # needs no permission
    if service == "s3":
        yield from _needs_of_s3(request, operation, resource)
        return
    if (service, operation) in _ON_ALL_RESOURCES:
        yield Need(f"{service}:{operation}")
        return
    arn = f"arn:aws:{service}:{region}:{account}:"
    if service == "iam" and operation == "GetRole":
        (name,) = parse_qs(request.body.decode())["RoleName"]
        yield Need("iam:GetRole", f"arn:aws:iam::{account}:role/{name}")
        return
    members = json.loads(request.body or b"{}")
    yield from _needs_of_json(service, operation, members, arn)


def _needs_of_s3(request: ApiRequest, operation: str, resource: str) -> Iterator[Need]:
    bucket, _, key = resource.partition("/")
    if operation in _S3_BUCKET:
        yield Need(f"s3:{_S3_BUCKET[operation]}", f"arn:aws:s3:::{bucket}")
    elif operation == "DeleteObjects":
        for deleted in re.findall(r"<Key>(.+?)</Key>", request.body.decode()):
            yield Need("s3:DeleteObject", f"arn:aws:s3:::{bucket}/{deleted}")
    else:
        yield Need(f"s3:{_S3_OBJECT[operation]}", f"arn:aws:s3:::{bucket}/{key}")
        if request.status == 404:
            # Without ListBucket, a missing object gives 403; prefix conditions do not apply.
            yield Need("s3:ListBucket", f"arn:aws:s3:::{bucket}")


def _needs_of_json(
    service: str, operation: str, members: Mapping[str, Any], arn: str
) -> Iterator[Need]:
    action = f"{service}:{operation}"
    match service, operation:
        case "batch", "SubmitJob":
            definition = members["jobDefinition"].rpartition("/")[2].partition(":")[0]
            yield Need(action, f"{arn}job-definition/{definition}")
            yield Need(action, f"{arn}job-queue/{members['jobQueue'].rpartition('/')[2]}")
            if members.get("tags"):
                yield Need("batch:TagResource", f"{arn}job/any")
        case "batch", "RegisterJobDefinition":
            definition = f"{arn}job-definition/{members['jobDefinitionName']}"
            yield Need(action, definition)
            if members.get("tags"):
                yield Need("batch:TagResource", definition)
            properties = members["containerProperties"]
            for role in ("jobRoleArn", "executionRoleArn"):
                if role in properties:
                    yield _pass_role(properties[role], "ecs-tasks")
        case "batch", "CancelJob" | "TerminateJob":
            # The backend's tests check that every job has the tag.
            yield Need(action, f"{arn}job/{members['jobId']}", {f"aws:ResourceTag/{TAG}": "a run"})
        case "batch", "GetJobQueueSnapshot":
            yield Need(action, f"{arn}job-queue/{members['jobQueue'].rpartition('/')[2]}")
        case "sagemaker", "CreateTrainingJob":
            job = f"{arn}training-job/{members['TrainingJobName']}"
            yield Need(action, job)
            if members.get("Tags"):
                yield Need("sagemaker:AddTags", job)
            yield _pass_role(members["RoleArn"], "sagemaker")
        case "sagemaker", "DescribeTrainingJob" | "StopTrainingJob":
            yield Need(action, f"{arn}training-job/{members['TrainingJobName']}")
        case "logs", "GetLogEvents":
            group, stream = members["logGroupName"], members["logStreamName"]
            yield Need(action, f"{arn}log-group:{group}:log-stream:{stream}")
        case "logs", "DescribeLogStreams" | "FilterLogEvents":
            yield Need(action, f"{arn}log-group:{members['logGroupName']}:*")
        case "servicequotas", "GetServiceQuota":
            yield Need(action, f"{arn}{members['ServiceCode']}/{members['QuotaCode']}")
        case "ssm", "GetParameter":
            yield Need(action, f"{arn}parameter{members['Name']}")
        case "ecr", "GetAuthorizationToken":
            yield Need(action)
        case "ecr", _:
            yield Need(action, f"{arn}repository/{members['repositoryName']}")
        case _:
            raise AssertionError(f"Unknown permissions of {service} {operation}: add them here")


def _pass_role(role: str, service: str) -> Need:
    return Need("iam:PassRole", role, {"iam:PassedToService": f"{service}.amazonaws.com"})
