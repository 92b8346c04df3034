"""Rules of cdk-nag that the account breaks on purpose, each with its reason.

`infra/terraform` says the same to checkov, beside each resource.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import Construct

from flowyml_account.names import Names

__all__ = ["acknowledge_exceptions"]

_BY_RUN = "what a run's own resources are called is known only when it runs"


def acknowledge_exceptions(scope: Construct, names: Names) -> None:
    """Tell cdk-nag the reasons, where it is used."""
    for construct, reasons in _reasons(names).items():
        child = scope.node.try_find_child(construct)
        if child is not None:
            rules = [
                Acknowledgment(id=f"AwsSolutions::{r}", reason=why) for r, why in reasons.items()
            ]
            Validations.of(child).acknowledge(*rules)


def _reasons(names: Names) -> Mapping[str, Mapping[str, str]]:
    partition, place = "arn:<AWS::Partition>", "<AWS::Region>:<AWS::AccountId>"
    bucket = f"{names.prefix}-<AWS::AccountId>-<AWS::Region>"
    of_runs = {
        f"s3:::{bucket}/flowyml/*": "keys of runs; the bucket holds nothing else",
        f"batch:{place}:job-queue/{names.prefix}-*": "the account's own queues",
        f"batch:{place}:job-definition/flowyml-aws-*": "clients name them by their content",
        f"batch:{place}:job/*": "Batch names jobs; ending one needs the tag of a run",
        f"sagemaker:{place}:training-job/*": _BY_RUN,
        f"logs:{place}:log-group:{names.log_group}:log-stream:*": _BY_RUN,
        f"logs:{place}:log-group:/aws/sagemaker/TrainingJobs:log-stream:*": _BY_RUN,
        f"logs:{place}:log-group:/aws/sagemaker/TrainingJobs:*": "the whole group",
        f"servicequotas:{place}:ec2/*": "quotas have codes, which differ by family",
    }
    wildcards = {f"{partition}:{resource}": why for resource, why in of_runs.items()}
    wildcards["*"] = "these actions, which only read or sign in, know no resources"
    tls = "the policy refuses what comes without TLS; it names the bucket by ARN, unseen"
    agent = f"{partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    return {
        "Store": {
            "AwsSolutions-S1": "access logs cost by the request; CloudTrail has data events",
            "AwsSolutions-S10": tls,
        },
        "StorePolicy": {"AwsSolutions-S10": tls},
        "Vpc": {
            "AwsSolutions-VPC7": "flow logs cost by the byte; organisations turn them on for all"
        },
        "InstanceRole": {
            f"AwsSolutions-IAM4[Policy::{agent}]": "AWS keeps it to what ECS's agent needs"
        },
        "UserPolicy": {
            f"AwsSolutions-IAM5[Resource::{resource}]": why for resource, why in wildcards.items()
        },
    }
