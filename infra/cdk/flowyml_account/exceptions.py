"""Rules of cdk-nag that the account breaks on purpose, each with its reason.

`infra/terraform` has the same exceptions for checkov, at each resource.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import Construct

from flowyml_account.names import Names

__all__ = ["acknowledge_exceptions"]

_BY_RUN = "the names of a run's own resources are known only when it runs"


def acknowledge_exceptions(scope: Construct, names: Names) -> None:
    """Pass the reasons to cdk-nag, if it is used."""
    for construct, reasons in _reasons(names).items():
        child = scope.node.try_find_child(construct)
        if child is not None:
            rules = [
                Acknowledgment(id=f"AwsSolutions::{r}", reason=why) for r, why in reasons.items()
            ]
            Validations.of(child).acknowledge(*rules)


def _reasons(names: Names) -> Mapping[str, Mapping[str, str]]:
    partition, location = "arn:<AWS::Partition>", "<AWS::Region>:<AWS::AccountId>"
    bucket = f"{names.prefix}-<AWS::AccountId>-<AWS::Region>"
    rewritten = ("cache/*", "history/*", "runs/*/submissions/*", "uses/*")
    run_resources = {
        **{
            f"s3:::{bucket}/flowyml/{key}": "documents that change, in the account's own bucket"
            for key in rewritten
        },
        f"s3:::{bucket}/flowyml/*": "keys of runs; the bucket contains nothing else",
        f"batch:{location}:job-queue/{names.prefix}-*": "the account's own queues",
        f"batch:{location}:job-definition/flowyml-aws-*": "clients derive names from content",
        f"batch:{location}:job/*": "Batch names jobs; terminating a job needs the tag of a run",
        f"batch:{location}:job/*:*": "children of array jobs have no tags",
        f"sagemaker:{location}:training-job/*": _BY_RUN,
        f"logs:{location}:log-group:{names.log_group}:log-stream:*": _BY_RUN,
        f"logs:{location}:log-group:/aws/sagemaker/TrainingJobs:log-stream:*": _BY_RUN,
        f"logs:{location}:log-group:/aws/sagemaker/TrainingJobs:*": "the whole group",
    }
    wildcards = {f"{partition}:{resource}": why for resource, why in run_resources.items()}
    wildcards["*"] = "these actions only describe the account or sign in"
    tls = "the policy denies requests without TLS; cdk-nag misses it, as it names the bucket by ARN"
    agent = f"{partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    return {
        "Store": {
            "AwsSolutions-S1": "access logs cost by the request; CloudTrail has data events",
            "AwsSolutions-S10": tls,
        },
        "StorePolicy": {"AwsSolutions-S10": tls},
        "Vpc": {
            "AwsSolutions-VPC7": "flow logs cost by the byte; organisations enable them centrally"
        },
        "InstanceRole": {
            f"AwsSolutions-IAM4[Policy::{agent}]": "AWS limits it to the needs of the ECS agent"
        },
        "BuildProject": {
            "AwsSolutions-CB3": "CodeBuild offers Docker, which builds images, only in this mode",
            "AwsSolutions-CB4": "builds have no artifacts; a key for all of them costs money",
        },
        "BuildsPolicy": {
            f"AwsSolutions-IAM5[Resource::{partition}:{resource}]": why
            for resource, why in {
                f"s3:::{bucket}/flowyml/code/contexts/*": "contexts are named by their content",
                f"logs:{location}:log-group:{names.log_group}:log-stream:image-builds/*": (
                    "CodeBuild names the streams of builds"
                ),
            }.items()
        }
        | {"AwsSolutions-IAM5[Resource::*]": "signing in has no resource"},
        "UserPolicy": {
            f"AwsSolutions-IAM5[Resource::{resource}]": why for resource, why in wildcards.items()
        },
    }
