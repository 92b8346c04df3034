"""All names, derived from the options: `infra/terraform/names.tf` derives the same names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Aws, CfnTag

from flowyml_account.options import Options

__all__ = ["Names"]


@dataclass(frozen=True)
class Names:
    """Names of the resources of one account."""

    options: Options

    @property
    def prefix(self) -> str:
        return f"flowyml-{self.options.name}"

    @property
    def iam_prefix(self) -> str:
        """Prefix of names that are unique in an AWS account, in all its regions."""
        return f"{self.prefix}-{Aws.REGION}"

    @property
    def bucket(self) -> str:
        return f"{self.prefix}-{Aws.ACCOUNT_ID}-{Aws.REGION}"

    @property
    def store(self) -> str:
        return f"s3://{self.bucket}/flowyml"

    @property
    def log_group(self) -> str:
        return f"/flowyml-aws/{self.options.name}"

    @property
    def parameter(self) -> str:
        return f"/flowyml-aws/{self.options.name}"

    @property
    def build_project(self) -> str:
        """Project of CodeBuild."""
        return f"{self.prefix}-images"

    @property
    def driver_queue(self) -> str:
        """Queue of the drivers of detached runs. No family has this name."""
        return f"{self.prefix}-driver"

    @property
    def repository(self) -> str:
        return f"{Aws.ACCOUNT_ID}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{self.prefix}"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"

    def role_arn(self, role: str) -> str:
        return f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{self.iam_prefix}-{role}"

    @property
    def tags(self) -> dict[str, str]:
        return {**self.options.tags, "flowyml-aws": self.options.name}

    def cfn_tags(self, **more: str) -> list[CfnTag]:
        tags = {**self.tags, **more}
        return [CfnTag(key=key, value=tags[key]) for key in sorted(tags)]

    def _data_arns(self, objects: str) -> list[str]:
        buckets = self.options.data_buckets
        return [f"arn:{Aws.PARTITION}:s3:::{bucket}{objects}" for bucket in buckets]

    @property
    def named(self) -> Mapping[str, str]:
        """Values of the placeholders in the documents under `infra/account/policies`."""
        bucket = f"arn:{Aws.PARTITION}:s3:::{self.bucket}"
        account_root = f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:root"
        roles = ("job", "execution", "driver", "sagemaker", "scheduler", "builds")
        return {
            "partition": Aws.PARTITION,
            "region": Aws.REGION,
            "account": Aws.ACCOUNT_ID,
            "prefix": self.prefix,
            "bucket_arn": bucket,
            "store_arn": f"{bucket}/flowyml",
            "repository_arn": self.arn("ecr", f"repository/{self.prefix}"),
            "log_group_arn": self.arn("logs", f"log-group:{self.log_group}"),
            "parameter_arn": self.arn("ssm", f"parameter{self.parameter}"),
            "topic_arn": self.arn("sns", f"{self.prefix}-alerts"),
            "build_project_arn": self.arn("codebuild", f"project/{self.build_project}"),
            "principal": self.options.user_principal or account_root,
            # Of optional documents: JSON lists.
            "secret_arns": json.dumps(list(self.options.secret_arns)),
            "data_bucket_arns": json.dumps(self._data_arns("")),
            "data_object_arns": json.dumps(self._data_arns("/*")),
            "notice_arns": json.dumps(list(self.options.notice_arns)),
            "image_repository_arns": json.dumps(list(self.options.image_repositories)),
            "sagemaker_subnet_arns": json.dumps(
                [
                    f"arn:{Aws.PARTITION}:ec2:{Aws.REGION}:*:subnet/{subnet}"
                    for subnet in self.options.sagemaker_subnet_ids
                ]
            ),
            "sagemaker_key_arns": json.dumps(list(self.options.sagemaker_kms_key_arns)),
            "step_role_arns": json.dumps(list(self.options.step_role_arns)),
            "efs_file_system_arns": json.dumps(list(self.options.efs_file_system_arns)),
            **{f"{role}_role_arn": self.role_arn(role) for role in roles},
        }
