"""The roles, with the policies of `infra/account/policies`."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk.aws_scheduler import CfnScheduleGroup
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.options import Options
from flowyml_account.shared import policy

__all__ = ["Roles", "make_roles"]

_TRUSTS = {
    "job": "tasks",  # the user's code in a job
    "execution": "tasks",  # pulls the image and writes the log
    "driver": "tasks",  # drives a run on SageMaker after the client has detached
    "sagemaker": "sagemaker",  # the user's code in a training job, and the platform
}


@dataclass(frozen=True)
class Roles:
    """The roles that other resources refer to.

    Attributes:
        profile_arn: Instance profile of Batch instances.
        instance: Role of Batch instances.
        user_arn: Role of users.
        user_policy_arn: Policy of users.
        builds_arn: Role of builds of images; None without them.
    """

    profile_arn: str
    instance: iam.CfnRole
    user_arn: str
    user_policy_arn: str
    builds_arn: str | None


def make_roles(scope: Construct, names: Names) -> Roles:
    """Create all roles."""
    managed = "service-role/AmazonEC2ContainerServiceforEC2Role"
    # Permissions of the ECS agent on each instance.
    instance = _role(
        scope, names, "instance", "instance", f"arn:{Aws.PARTITION}:iam::aws:policy/{managed}"
    )
    # CloudFormation can't tag instance profiles and managed policies; Terraform does.
    profile = iam.CfnInstanceProfile(
        scope,
        "InstanceProfile",
        instance_profile_name=f"{names.iam_prefix}-instance",
        roles=[instance.ref],
    )
    # Submits the drivers of scheduled runs.
    scheduler = {"scheduler": "scheduler"} if names.options.schedules else {}
    # Builds images and pushes them.
    builds = {"builds": "builds"} if names.options.remote_builds else {}
    arns: dict[str, str] = {}
    for name, trust in {**_TRUSTS, **scheduler, **builds}.items():
        role = _role(scope, names, name, trust)
        arns[name] = role.attr_arn
        iam.CfnRolePolicy(
            scope,
            f"{name.title()}Policy",
            policy_name=name,
            role_name=role.ref,
            policy_document=policy(name, names.named),
        )
        for document in _optional(names.options).get(name, ()):
            _add_document(scope, names, name, role, document)
    # A separate policy, so that it can also be attached to users or to a permission set.
    user = iam.CfnManagedPolicy(
        scope,
        "UserPolicy",
        managed_policy_name=f"{names.iam_prefix}-user",
        description="Runs pipelines of flowyml-aws from a laptop",
        policy_document=policy("user", names.named),
    )
    user_role = _role(scope, names, "user", "user", user.ref, 43200)
    for document in _optional(names.options)["user"]:
        _add_document(scope, names, "user", user_role, document)
    if names.options.schedules:
        CfnScheduleGroup(scope, "ScheduleGroup", name=names.prefix, tags=names.cfn_tags())
    return Roles(profile.attr_arn, instance, user_role.attr_arn, user.ref, arns.get("builds"))


def _optional(options: Options) -> dict[str, list[str]]:
    """Return the documents that options add to the policies of a role, by the role's name."""
    images = ["images"] if options.image_repositories else []
    network = ["vpc"] if options.sagemaker_subnet_ids else []
    keys = ["keys"] if options.sagemaker_kms_key_arns else []
    secrets = ["secrets"] if options.secret_arns else []
    data = ["data"] if options.data_buckets else []
    roles = ["roles"] if options.step_role_arns else []
    costs = ["costs"] if options.cost_explorer else []
    notices = ["notices"] if options.notice_arns else []
    schedules = ["schedules"] if options.schedules else []
    builds = ["builds"] if options.remote_builds else []
    file_systems = ["efs"] if options.efs_file_system_arns else []
    shell, sessions = (["shell"], ["sessions"]) if options.debug_shell else ([], [])
    return {
        "user": [*builds, *costs, *data, *notices, *roles, *schedules, *sessions],
        "driver": [*notices, *roles],
        "job": [*data, *file_systems, *shell],
        "execution": [*images, *secrets],
        "sagemaker": [*images, *network, *keys, *secrets, *data, *shell],
    }


def _add_document(
    scope: Construct, names: Names, name: str, role: iam.CfnRole, document: str
) -> None:
    """Add a document of an option to the policies of a role."""
    iam.CfnRolePolicy(
        scope,
        f"{name.title()}{document.title()}Policy",
        policy_name=f"{name}-{document}",
        role_name=role.ref,
        policy_document=policy(f"optional/{document}", names.named),
    )


def _role(
    scope: Construct,
    names: Names,
    name: str,
    trust: str,
    managed: str | None = None,
    max_session_s: int | None = None,
) -> iam.CfnRole:
    return iam.CfnRole(
        scope,
        f"{name.title()}Role",
        role_name=f"{names.iam_prefix}-{name}",
        assume_role_policy_document=policy(f"trust-{trust}", names.named),
        managed_policy_arns=[managed] if managed else None,
        max_session_duration=max_session_s,
        tags=names.cfn_tags(),
    )
