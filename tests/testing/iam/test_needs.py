"""Permissions of requests, as in the Service Authorization Reference."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.testing.iam.needs import Need
from tests.testing.iam.requests import ACCOUNT, REGION, needs

ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


@pytest.mark.parametrize(
    ("service", "operation", "members", "expected"),
    [
        ("batch", "DescribeJobs", {"jobs": ["j"]}, [("batch:DescribeJobs", "*")]),
        ("batch", "ListJobs", {"jobQueue": "q"}, [("batch:ListJobs", "*")]),
        (
            "batch",
            "SubmitJob",
            {"jobName": "j", "jobQueue": "q", "jobDefinition": "d:3"},
            [
                # With the revision: batch/latest/userguide/iam-example-restrict-job-submission
                ("batch:SubmitJob", arn("batch", "job-definition/d:3")),
                ("batch:SubmitJob", arn("batch", "job-queue/q")),
            ],
        ),
        (
            "batch",
            "SubmitJob",
            {
                **{"jobName": "j", "tags": {"a": "b"}, "jobQueue": arn("batch", "job-queue/q")},
                "jobDefinition": arn("batch", "job-definition/d:3"),
            },
            [
                ("batch:SubmitJob", arn("batch", "job-definition/d:3")),
                ("batch:SubmitJob", arn("batch", "job-queue/q")),
                ("batch:TagResource", arn("batch", "job/*")),
            ],
        ),
        (
            "batch",
            "RegisterJobDefinition",
            {
                **{"jobDefinitionName": "d", "type": "container", "tags": {"a": "b"}},
                "containerProperties": {"image": "i", "jobRoleArn": ROLE, "executionRoleArn": "e"},
            },
            [
                ("batch:RegisterJobDefinition", arn("batch", "job-definition/d")),
                ("batch:TagResource", arn("batch", "job-definition/d:*")),
                ("iam:PassRole", ROLE),
                ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/e"),
            ],
        ),
        (
            "batch",
            "TerminateJob",
            {"jobId": "j", "reason": "r"},
            [("batch:TerminateJob", arn("batch", "job/j"))],
        ),
        (
            "batch",
            "GetJobQueueSnapshot",
            {"jobQueue": "q"},
            [("batch:GetJobQueueSnapshot", arn("batch", "job-queue/q"))],
        ),
        (
            "batch",
            "CreateJobQueue",
            {
                **{"jobQueueName": "q", "priority": 1},
                "computeEnvironmentOrder": [
                    {"order": 1, "computeEnvironment": "e"},
                    {"order": 2, "computeEnvironment": "f"},
                ],
            },
            [
                ("batch:CreateJobQueue", arn("batch", "job-queue/q")),
                ("batch:CreateJobQueue", arn("batch", "compute-environment/e")),
                ("batch:CreateJobQueue", arn("batch", "compute-environment/f")),
            ],
        ),
        (
            "batch",
            "TagResource",
            {"resourceArn": arn("batch", "job/j"), "tags": {"a": "b"}},
            [("batch:TagResource", arn("batch", "job/j"))],
        ),
        (
            "sagemaker",
            "DescribeTrainingJob",
            {"TrainingJobName": "t"},
            [("sagemaker:DescribeTrainingJob", arn("sagemaker", "training-job/t"))],
        ),
        ("sagemaker", "ListTrainingJobs", {}, [("sagemaker:ListTrainingJobs", "*")]),
        (
            "logs",
            "GetLogEvents",
            {"logGroupName": "/g", "logStreamName": "a/b"},
            [("logs:GetLogEvents", arn("logs", "log-group:/g:log-stream:a/b"))],
        ),
        (
            "logs",
            "DescribeLogStreams",
            {"logGroupName": "/g"},
            [("logs:DescribeLogStreams", arn("logs", "log-group:/g:log-stream:"))],
        ),
        ("logs", "DescribeLogGroups", {}, [("logs:DescribeLogGroups", "*")]),
        (
            "ssm",
            "GetParameter",
            {"Name": "/a/b:3"},
            [("ssm:GetParameter", arn("ssm", "parameter/a/b"))],
        ),
        (
            "ssm",
            "GetParameters",
            {"Names": ["/a", "b"]},
            [
                ("ssm:GetParameters", arn("ssm", "parameter/a")),
                ("ssm:GetParameters", arn("ssm", "parameter/b")),
            ],
        ),
        ("ssm", "DescribeParameters", {}, [("ssm:DescribeParameters", "*")]),
        (
            "ssm",
            "StartSession",
            {"Target": "sagemaker-training-job:a-1_algo-2"},
            [("ssm:StartSession", arn("ssm", "training-job/a-1"))],
        ),
        ("ecr", "GetAuthorizationToken", {}, [("ecr:GetAuthorizationToken", "*")]),
        (
            "ecr",
            "DescribeImages",
            {"repositoryName": "team/image"},
            [("ecr:DescribeImages", arn("ecr", "repository/team/image"))],
        ),
        (
            "ecr",
            "DescribeRepositories",
            {},
            [("ecr:DescribeRepositories", arn("ecr", "repository/*"))],
        ),
        ("ec2", "DescribeInstanceTypes", {}, [("ec2:DescribeInstanceTypes", "*")]),
        (
            "ecs",
            "DescribeContainerInstances",
            {"cluster": "c", "containerInstances": [arn("ecs", "container-instance/c/i")]},
            [("ecs:DescribeContainerInstances", arn("ecs", "container-instance/c/i"))],
        ),
        ("iam", "GetRole", {"RoleName": "job"}, [("iam:GetRole", ROLE)]),
        ("iam", "ListRoles", {}, [("iam:ListRoles", "*")]),
        ("sts", "GetCallerIdentity", {}, []),
        (
            "sts",
            "AssumeRole",
            {"RoleArn": ROLE, "RoleSessionName": "s", "Tags": [{"Key": "a", "Value": "b"}]},
            [("sts:AssumeRole", ROLE), ("sts:TagSession", ROLE)],
        ),
        (
            "service-quotas",
            "GetServiceQuota",
            {"ServiceCode": "ec2", "QuotaCode": "L-1"},
            [("servicequotas:GetServiceQuota", "*")],
        ),
        ("pricing", "GetProducts", {"ServiceCode": "s"}, [("pricing:GetProducts", "*")]),
        ("events", "PutRule", {"Name": "r"}, [("events:PutRule", arn("events", "rule/r"))]),
        (
            "events",
            "PutTargets",
            {"Rule": "r", "EventBusName": "b", "Targets": [{"Id": "1", "Arn": "arn:aws:sns:::t"}]},
            [("events:PutTargets", arn("events", "rule/b/r"))],
        ),
        (
            "events",
            "PutEvents",
            {"Entries": [{"Source": "s"}]},
            [("events:PutEvents", arn("events", "event-bus/default"))],
        ),
        (
            "sns",
            "Publish",
            {"TopicArn": arn("sns", "t"), "Message": "m"},
            [("sns:Publish", arn("sns", "t"))],
        ),
        ("sns", "CreateTopic", {"Name": "t"}, [("sns:CreateTopic", arn("sns", "t"))]),
        (
            "sqs",
            "SendMessage",
            {"QueueUrl": f"http://127.0.0.1/{ACCOUNT}/q", "MessageBody": "m"},
            [("sqs:SendMessage", arn("sqs", "q"))],
        ),
        (
            "cloudwatch",
            "PutMetricData",
            {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.0}]},
            [("cloudwatch:PutMetricData", "*")],
        ),
        # Not among the known operations.
        ("sagemaker", "CreateModel", {"ModelName": "m"}, [("sagemaker:CreateModel", "*")]),
    ],
)
def test_a_request_needs_the_documented_permissions(
    service: str, operation: str, members: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    found = needs(service, operation, **members)
    assert [(need.action, need.resource) for need in found] == expected


def training_job(**others: Any) -> list[Need]:
    return needs(
        "sagemaker",
        "CreateTrainingJob",
        **{
            "TrainingJobName": "t",
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": "s3://b/o", "KmsKeyId": "out"},
            "ResourceConfig": {
                "InstancePreferences": [
                    {"InstanceType": "ml.m5.large"},
                    {"InstanceType": "ml.m6i.large"},
                ],
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "Tags": [{"Key": "flowyml-aws:run", "Value": "r"}],
            **others,
        },
    )


def test_a_training_job_needs_its_tags_and_its_role() -> None:
    job = arn("sagemaker", "training-job/t")
    assert [(need.action, need.resource) for need in training_job()] == [
        ("sagemaker:CreateTrainingJob", job),
        ("sagemaker:AddTags", job),
        ("iam:PassRole", ROLE),
    ]


def test_a_training_job_has_the_condition_keys_of_its_request() -> None:
    network = {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1", "s-2"]}
    create, add_tags, pass_role = training_job(VpcConfig=network, EnableNetworkIsolation=True)
    assert create.context == {
        "aws:RequestTag/flowyml-aws:run": "r",
        "aws:TagKeys": ("flowyml-aws:run",),
        "sagemaker:InstanceTypes": ("ml.m5.large", "ml.m6i.large"),
        "sagemaker:MaxRuntimeInSeconds": "600",
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:OutputKmsKey": "out",
        "sagemaker:VpcSecurityGroupIds": ("sg-1",),
        "sagemaker:VpcSubnets": ("s-1", "s-2"),
    }
    assert add_tags.context["aws:TagKeys"] == ("flowyml-aws:run",)
    assert pass_role.context == {"iam:PassedToService": "sagemaker.amazonaws.com"}


def test_the_tags_of_a_resource_are_condition_keys() -> None:
    tags = {arn("batch", "job/j"): {"flowyml-aws:run": "r"}, ROLE: {"team": "ml"}}
    (terminate,) = needs("batch", "TerminateJob", tags, jobId="j", reason="r")
    assert terminate.context == {"aws:ResourceTag/flowyml-aws:run": "r"}
    (get,) = needs("iam", "GetRole", tags, RoleName="job")
    assert get.context == {"aws:ResourceTag/team": "ml", "iam:ResourceTag/team": "ml"}


def test_removed_tags_are_condition_keys() -> None:
    job = arn("sagemaker", "training-job/t")
    (delete,) = needs("sagemaker", "DeleteTags", ResourceArn=job, TagKeys=["a", "b"])
    assert delete.context == {"aws:TagKeys": ("a", "b")}
