"""The account that an emulator starts with: bucket, repository, roles, and Batch queues."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from moto.batch.models import BatchBackend, batch_backends
from moto.codebuild.models import codebuild_backends
from moto.core.base_backend import AccountSpecificBackend, BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_FAMILIES
from moto.ec2.models.subnets import Subnet
from moto.ecr.models import ecr_backends
from moto.iam.models import IAMBackend, iam_backends
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.ssm.models import ssm_backends

from flowyml_aws.catalog.account_families import FAMILIES
from flowyml_aws.catalog.disk import RESERVED_GIB
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.testing.account_policies import (
    ROLES,
    account_policy,
    placeholders,
    user_data,
)

__all__ = [
    "BUCKET",
    "BUILD_PROJECT",
    "DRIVER_QUEUE",
    "LOG_GROUP",
    "NAMES",
    "PARAMETER",
    "PREFIX",
    "QUEUES",
    "REGION",
    "REPOSITORY",
    "VOLUME_GIB",
    "Account",
    "client_settings",
    "create_account",
    "create_empty_account",
    "forget_account",
    "node_queues",
    "write_settings",
]

REGION = "us-east-1"
# The names that infra/ gives the resources of an account named `emulator`.
NAME = "emulator"
PREFIX = f"flowyml-{NAME}"
BUCKET = f"{PREFIX}-{DEFAULT_ACCOUNT_ID}-{REGION}"
PARAMETER = f"/flowyml-aws/{NAME}"
LOG_GROUP = f"/flowyml-aws/{NAME}"
BUILD_PROJECT = f"{PREFIX}-images"
REPOSITORY = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/{PREFIX}"
# Roles are named without the region: an emulated account has only one.
NAMES = {
    **placeholders(NAME, DEFAULT_ACCOUNT_ID, REGION),
    **{
        f"{role}_role_arn": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/{PREFIX}-{role}"
        for role in (*ROLES, "scheduler", "builds")
    },
}

# Instance types by queue, one group for each of its managed on-demand compute environments.
QUEUES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    f"{PREFIX}-{family.name}": family.sizes for family in FAMILIES
}
_NODES_TAG = {"flowyml-aws-nodes": "true"}
_NODE_SUBNETS = "172.31.{}.0/20"  # in the default VPC, after the default subnets
_FIRST_NODE_SUBNET, _SUBNET_SIZE = 112, 16
# In the compute environments of the CPU queue. The taint keeps jobs away.
DRIVER_QUEUE = f"{PREFIX}-driver"
_DRIVER_TAGS = {"flowyml-aws:taint:driver": "NoSchedule"}
# AWS accepts these families in compute environments; moto's list of instance types lacks them.
_MISSING_FAMILIES = ("p3",)
# Cached methods of moto that would keep every earlier account in memory.
_CACHED_METHODS = (
    (AccountSpecificBackend, "_generate_regions"),
    (Subnet, "_base_avail_ip_iterator"),
)
_LOAD_IMAGES = "MOTO_EC2_LOAD_DEFAULT_AMIS"
_LOAD_POLICIES = "MOTO_IAM_LOAD_MANAGED_POLICIES"
_MAX_VCPUS = 4096
# Trust policies of the roles that infra/ creates.
_TRUST = {
    "user": "trust-user",
    "job": "trust-tasks",
    "execution": "trust-tasks",
    "driver": "trust-tasks",
    "sagemaker": "trust-sagemaker",
}
_NOTICES = {
    **NAMES,
    "notice_arns": json.dumps(
        [
            NAMES["topic_arn"],
            f"arn:aws:events:{REGION}:{DEFAULT_ACCOUNT_ID}:event-bus/default",
            f"arn:aws:ssm:{REGION}:{DEFAULT_ACCOUNT_ID}:parameter/notices/*",
        ]
    ),
}
_BATCH_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "batch.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
VOLUME_GIB = 100
_DISK_TAGS = {
    "flowyml-aws:disk-gib": str(VOLUME_GIB - RESERVED_GIB),
    "flowyml-aws:nvme": "data-root",
}
# The default encryption of every bucket on AWS.
_ENCRYPTION = {"Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}}


@dataclass(frozen=True, slots=True)
class Account:
    """ARNs of the account's roles.

    Attributes:
        user, job, execution, driver, sagemaker: The roles that infra/ creates, with its policies.
        batch: Service role of Batch.
    """

    user: str
    job: str
    execution: str
    driver: str
    sagemaker: str
    batch: str


def node_queues(families: Collection[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return the queues for jobs on several nodes: that of each family with `-nodes` at its end.

    Args:
        families: Names of families of the account, such as `cpu`.

    Raises:
        SettingsError: A family does not exist.
    """
    names = [family.name for family in FAMILIES]
    for name in families:
        if name not in names:
            raise SettingsError(
                what=f"Unknown family {name!r} for jobs on several nodes",
                why=f"the families of the account are {', '.join(names)}",
                fix=did_you_mean(name, names, "name one of them"),
            )
    return {f"{PREFIX}-{name}-nodes": QUEUES[f"{PREFIX}-{name}"] for name in families}


def create_account(node_families: Collection[str] = ()) -> Account:
    """Create the account in moto, after clearing the state of earlier accounts.

    It calls moto's backends directly, because HTTP requests would take seconds.

    Args:
        node_families: Families that have a queue for jobs on several nodes, too.
    """
    batch_role = _create_account()
    s3 = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    s3.create_bucket(BUCKET, REGION)
    s3.put_bucket_encryption(BUCKET, _ENCRYPTION)
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    account = Account(
        **{
            role: _create_role(iam, role, account_policy(trust, NAMES), account_policy(role, NAMES))
            for role, trust in _TRUST.items()
        },
        batch=batch_role,
    )
    for role in ("user", "driver"):  # the option `notice_arns` of infra/
        iam.put_role_policy(
            f"{PREFIX}-{role}", f"{role}-notices", account_policy("optional/notices", _NOTICES)
        )
    for role, document in (("user", "sessions"), ("job", "shell"), ("sagemaker", "shell")):
        iam.put_role_policy(  # the option `debug_shell` of infra/
            f"{PREFIX}-{role}", f"{role}-{document}", account_policy(f"optional/{document}", NAMES)
        )
    # The option `schedules` of infra/.
    trust, policy = account_policy("trust-scheduler", NAMES), account_policy("scheduler", NAMES)
    _create_role(iam, "scheduler", trust, policy)
    iam.put_role_policy(
        f"{PREFIX}-user", "user-schedules", account_policy("optional/schedules", NAMES)
    )
    # The option `remote_builds` of infra/.
    trust, policy = account_policy("trust-builds", NAMES), account_policy("builds", NAMES)
    _create_build_project(_create_role(iam, "builds", trust, policy))
    iam.put_role_policy(f"{PREFIX}-user", "user-builds", account_policy("optional/builds", NAMES))
    _create_role(iam, "instance", account_policy("trust-instance", NAMES))
    logs_backends[DEFAULT_ACCOUNT_ID][REGION].create_log_group(LOG_GROUP, tags={})
    ecr_backends[DEFAULT_ACCOUNT_ID][REGION].create_repository(
        PREFIX, None, {}, {}, image_tag_mutability="IMMUTABLE", tags=[]
    )
    profile = iam.create_instance_profile(f"{PREFIX}-instance", "/", [f"{PREFIX}-instance"])
    batch = batch_backends[DEFAULT_ACCOUNT_ID][REGION]
    subnets, security_group = _network()
    resources = {
        "type": "EC2",
        "allocationStrategy": "BEST_FIT_PROGRESSIVE",
        "minvCpus": 0,
        "maxvCpus": _MAX_VCPUS,
        "desiredvCpus": 0,
        "instanceRole": profile.arn,
        "subnets": subnets,
        "securityGroupIds": [security_group],
        "launchTemplate": {"launchTemplateId": _launch_template(), "version": "$Latest"},
    }
    for queue, groups in QUEUES.items():
        environments = _create_environments(batch, queue, account.batch, groups, resources)
        _create_queue(batch, queue, environments)
        if queue == f"{PREFIX}-cpu":
            _create_queue(batch, DRIVER_QUEUE, environments, priority=10, tags=_DRIVER_TAGS)
    if node_families:
        private = {**resources, "subnets": _private_subnets(subnets[0])}
        for queue, groups in node_queues(node_families).items():
            environments = _create_environments(
                batch, queue, account.batch, groups, private, _NODES_TAG
            )
            _create_queue(batch, queue, environments)
    return account


def create_empty_account() -> str:
    """Create an account without the resources of infra/, after clearing earlier accounts.

    It has the policies that AWS manages, which infra/ attaches to roles.

    Returns:
        ARN of the role that replaces Batch's service-linked role.
    """
    with _defaults({_LOAD_POLICIES: "true"}):
        return _create_account()


def client_settings(
    account: Account, image: str | None, node_families: Collection[str] = ()
) -> dict[str, str | Sequence[str]]:
    """Return the settings of clients, as infra/ writes them for a real account.

    Args:
        account: Roles of the account.
        image: Image for all jobs; None if each project has its own.
        node_families: Families that have a queue for jobs on several nodes, too.
    """
    return {
        "store": f"s3://{BUCKET}/flowyml",
        "queues": [*QUEUES, *node_queues(node_families)],
        **({} if image is None else {"image": image}),
        "repository": REPOSITORY,
        "job_role": account.job,
        "execution_role": account.execution,
        "log_group": LOG_GROUP,
        "sagemaker_role": account.sagemaker,
        "driver_queue": DRIVER_QUEUE,
        "driver_role": account.driver,
        "build_project": BUILD_PROJECT,
        "schedule_group": PREFIX,
        "schedule_role": NAMES["scheduler_role_arn"],
    }


def write_settings(settings: Mapping[str, object]) -> None:
    """Write the SSM parameter that the infrastructure code writes in a real account."""
    ssm_backends[DEFAULT_ACCOUNT_ID][REGION].put_parameter(
        name=PARAMETER,
        description="",
        value=json.dumps({"version": 1, **settings}),
        parameter_type="String",
        allowed_pattern="",
        keyid="",
        overwrite=True,
        tags=[],
        data_type="text",
        tier=None,
        policies=None,
    )


def forget_account() -> None:
    """Clear moto's state, which is global to the process."""
    for family in _MISSING_FAMILIES:
        if family in INSTANCE_FAMILIES:
            INSTANCE_FAMILIES.remove(family)
    ec2_backends.clear()  # its reset would needlessly load all images
    BackendDict.reset()
    reset_model_data()
    for owner, method in _CACHED_METHODS:
        if clear := getattr(getattr(owner, method, None), "cache_clear", None):
            clear()


def _create_account() -> str:
    forget_account()
    INSTANCE_FAMILIES.extend(_MISSING_FAMILIES)
    return _create_role(iam_backends[DEFAULT_ACCOUNT_ID]["aws"], "batch", _BATCH_TRUST)


@contextmanager
def _defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _create_role(iam: IAMBackend, role: str, trust: str, policy: str | None = None) -> str:
    created = iam.create_role(
        role_name=f"{PREFIX}-{role}",
        assume_role_policy_document=trust,
        path="/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="43200",
    )
    if policy is not None:
        iam.put_role_policy(created.name, role, policy)
    return str(created.arn)


def _create_build_project(role_arn: str) -> None:
    """Create the project of CodeBuild that builds images."""
    codebuild_backends[DEFAULT_ACCOUNT_ID][REGION].create_project(
        project_name=BUILD_PROJECT,
        description=None,
        project_source={"type": "S3", "location": f"{BUCKET}/flowyml/code/contexts/"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_MEDIUM",
            "privilegedMode": True,
        },
        service_role=role_arn,
        tags=[],
        cache=None,
        timeout=60,
        queued_timeout=60,
        source_version=None,
        logs_config={
            "cloudWatchLogs": {
                "status": "ENABLED",
                "groupName": LOG_GROUP,
                "streamName": "image-builds",
            }
        },
        vpc_config=None,
    )


def _network() -> tuple[list[str], str]:
    # Loading moto's 1,300 images would take longer than everything else.
    with _defaults({_LOAD_IMAGES: "false"}):
        ec2 = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
    vpc = ec2.get_default_vpc()
    assert vpc is not None  # moto creates one in every new account
    group = ec2.get_security_group_from_name("default", vpc.id)
    assert group is not None
    return [subnet.id for subnet in ec2.get_default_subnets().values()], str(group.id)


def _private_subnets(public_subnet: str) -> list[str]:
    """Create a private subnet in each zone, whose way out is a NAT gateway."""
    ec2 = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
    vpc_id = ec2.get_subnet(public_subnet).vpc_id
    gateway = ec2.create_nat_gateway(public_subnet, allocation_id="")
    table = ec2.create_route_table(vpc_id)
    ec2.create_route(table.id, "0.0.0.0/0", nat_gateway_id=gateway.id)
    subnets = []
    for number, zone in enumerate(ec2.get_default_subnets()):
        block = _NODE_SUBNETS.format(_FIRST_NODE_SUBNET + _SUBNET_SIZE * number)
        subnet = ec2.create_subnet(vpc_id, block, availability_zone=zone)
        ec2.associate_route_table(table.id, subnet_id=subnet.id)
        subnets.append(str(subnet.id))
    return subnets


def _launch_template() -> str:
    """Create the launch template of all environments, and return its id."""
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": VOLUME_GIB, "VolumeType": "gp3"}}
    template = ec2_backends[DEFAULT_ACCOUNT_ID][REGION].create_launch_template(
        name=PREFIX,
        description="",
        template_data={"BlockDeviceMappings": [disk], "UserData": user_data()},
        tag_spec={},
    )
    return str(template.id)


def _create_environments(
    batch: BatchBackend,
    queue: str,
    service_role: str,
    groups: Sequence[Sequence[str]],
    resources: Mapping[str, object],
    tags: Mapping[str, str] | None = None,
) -> list[str]:
    """Create an environment for each group of instance types of a queue, and return their ARNs."""
    return [
        batch.create_compute_environment(
            compute_environment_name=queue if number == 1 else f"{queue}-{number}",
            _type="MANAGED",
            state="ENABLED",
            compute_resources={**resources, "instanceTypes": list(types)},
            service_role=service_role,
            tags=dict(tags or {}),
        ).arn
        for number, types in enumerate(groups, 1)
    ]


def _create_queue(
    batch: BatchBackend,
    name: str,
    environment_arns: Sequence[str],
    *,
    priority: int = 1,
    tags: Mapping[str, str] | None = None,
) -> None:
    batch.create_job_queue(
        queue_name=name,
        priority=str(priority),
        schedule_policy=None,
        state="ENABLED",
        compute_env_order=[
            {"order": str(number), "computeEnvironment": arn}
            for number, arn in enumerate(environment_arns, 1)
        ],
        tags={**_DISK_TAGS, **(tags or {})},
    )
