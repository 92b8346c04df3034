"""The options of an account: the variables of `infra/terraform`, with the same defaults."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_account.shared import EFA_INTERFACES, FAMILIES

__all__ = ["MAX_ZONES", "Family", "Options", "max_vcpus_of", "sizes_of", "sizes_of_nodes"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,16}[a-z0-9]")
_TAINT = re.compile(r"(.*:)?(NoSchedule|PreferNoSchedule|NoExecute)")
_INSTANCE_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_SUBNET = re.compile(r"subnet-[0-9a-z]+")
_REPOSITORY = re.compile(r"arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+")
_SECRET = re.compile(
    r"arn:[a-z-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/)"
    r".+"
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")
_FILE_SYSTEM = re.compile(
    r"arn:[a-z-]+:elasticfilesystem:[a-z0-9-]+:[0-9]{12}:file-system/fs-[0-9a-f]+"
)
_NOTICES = re.compile(
    r"arn:[a-z-]+:(sns:[a-z0-9-]+:[0-9]{12}:[^*]|events:[a-z0-9-]+:[0-9]{12}:event-bus/|"
    r"secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/).+"
)
_KEY = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+")
MAX_ZONES = 15  # subnets of the VPC, next to that of nodes
# A shell script contains both. The mount name: SageMaker's API reference, ClusterFsxLustreConfig.
_FSX_ID = re.compile(r"fs-[0-9a-f]{8,40}")
_FSX_MOUNT_NAME = re.compile(r"[A-Za-z0-9_-]{1,8}")
_MAX_ENVIRONMENTS = 3  # of one queue
_CAPACITIES = {"on-demand", "spot", "nodes"}
_WAYS_OUT = ("nat", "endpoints")
_MIN_VOLUME_GIB = 30  # of ECS's images


@dataclass(frozen=True)
class Family:
    """Instances of one kind; None selects the value in `infra/account/families.json`.

    Attributes:
        capacity: Any of `on-demand`, `spot` and `nodes`; each has a separate queue. `nodes` is for
            jobs on several instances (on demand, in a private subnet), which cost money also while
            no job runs: see `nodes_way_out`.
        efa: Number of Elastic Fabric Adapters of each instance for `nodes`, which must be in
            `capacity`. Its queue has only types with as many. 1 is possible on all types with EFA;
            more are on one network card each: 4 on p4d.24xlarge, 32 on p5.48xlarge.
        max_vcpus: Limit of the vCPUs of all instances of one compute environment together. Larger
            types of the file are left out.
        sizes: Up to three lists of EC2 instance types, in the order in which Batch tries them; each
            is one compute environment. No families: Batch prefers their large sizes.
        nodes_sizes: The same for `nodes`, which must be in `capacity`; `sizes` by default.
        image_id: Custom image for the instances.
        volume_gib: Disk size; overrides `volume_gib` of the options.
        fair_share: Whether its queues have a fair-share scheduling policy, for the priorities of
            steps (`priority=`). Batch can't add one to an existing queue: remove the family first,
            or enable it for a new one.
        fsx_file_systems: File systems of FSx for Lustre that its instances mount, for
            `mounts=[FSx(…)]` of steps: mappings of `id` and `mount_name`. Jobs may read and write
            them. They are in the same region, and accept ports 988 and 1018 to 1023 from the
            instances. An instance that can't mount one takes no jobs.
        labels: Labels, as of a Kubernetes node.
        taints: Taints, as of a Kubernetes node, with the value `[VALUE:]EFFECT`.
    """

    capacity: Sequence[str] = ("on-demand", "spot")
    efa: int = 0
    max_vcpus: int | None = None
    sizes: Sequence[Sequence[str]] | None = None
    nodes_sizes: Sequence[Sequence[str]] | None = None
    image_id: str | None = None
    volume_gib: int | None = None
    fair_share: bool = False
    fsx_file_systems: Sequence[Mapping[str, str]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """Options of an account.

    Attributes:
        name: Name of the account, for the setting `account` of flowyml-aws.
        families: Families by their names in `infra/account/families.json`.
        volume_gib: Disk size of each instance, for its system, images, and files of jobs.
        vpc_id: Existing VPC; None creates one without NAT gateways, which costs nothing.
        subnet_ids: Subnets of `vpc_id` for the instances; they must reach AWS's services on
            port 443.
        route_table_ids: Route tables of `vpc_id` that get the S3 gateway endpoint.
        zones: Number of availability zones in which a new VPC has subnets; None for all of the
            region, or for two if the stack has no region. Subnets are free, and each zone has
            capacity of its own.
        nodes_way_out: Way of jobs on several instances to AWS's services, if a family has the
            capacity `nodes`: `nat` (a NAT gateway: about $33 a month in us-east-1 and $0.045 per
            GB, with the internet) or `endpoints` (six interface endpoints, with `secret_arns`
            eight: about $7.30 a month each and $0.01 per GB, without the internet). Data in S3 is
            free with both. Not used with `vpc_id`.
        nodes_zone: Availability zone of jobs on several instances, such as us-east-1b; None for the
            first one. EC2 offers large GPU types in some zones only. Not used with `vpc_id`.
        nodes_subnet_id: Private subnet of `vpc_id` for jobs on several instances. It must reach
            AWS's services on port 443 through a NAT gateway or interface endpoints: these jobs get
            no public address.
        egress_ports: Remote ports that jobs may connect to, over TCP. AWS's services and package
            indexes need 443; for example, git over ssh needs 22, PostgreSQL 5432, NFS and EFS 2049.
        image_repositories: ARNs of more ECR repositories, also of other accounts and regions, whose
            images jobs may use. A repository of another account must allow it as well.
        sagemaker_subnet_ids: Subnets in which training jobs may run: those of the setting
            `sagemaker_subnets`. They add permissions for network interfaces to the role of
            training jobs.
        sagemaker_kms_key_arns: KMS keys that training jobs may use: those of the settings
            `sagemaker_volume_kms_key` and `sagemaker_output_kms_key`.
        secret_arns: ARNs of secrets in AWS Secrets Manager and of SSM parameters that jobs may read
            with `secrets=`. A customer managed key must allow the roles to decrypt.
        data_buckets: Names of buckets that users may list and jobs may read, for inputs such as
            `S3Prefix("s3://BUCKET/data/")`. A bucket of another account must allow it as well, and
            so must a customer managed key.
        step_role_arns: ARNs of roles that steps may name with `role=`: users and drivers may pass
            them to jobs, with all of their permissions.
        efs_file_system_arns: ARNs of file systems of EFS that jobs may mount and write with
            `mounts=[EFS(…)]`. They also need port 2049 in `egress_ports`, and mount targets that
            accept it from the instances.
        notice_arns: ARNs of what notices of the end of runs need: topics of SNS, event buses, and
            the secrets or SSM parameters with the URLs of webhooks. Users and drivers may publish
            to them and read them.
        schedules: Whether users may create schedules of EventBridge Scheduler, which submit small
            jobs to the queue of drivers.
        remote_builds: Whether users may build images with a project of CodeBuild, with
            `flowyml-aws image build --remote`. A build costs about $0.01 per minute.
        cost_explorer: Whether users may read the billed costs of the whole AWS account, for
            `flowyml-aws costs --billed`. Each request costs $0.01.
        debug_shell: Whether users may open shells in their running jobs: `flowyml-aws shell`, for
            runs that were started with `--debug-shell`.
        log_retention_days: Retention of job logs, in days.
        capacity_wait_s: Maximum seconds that the first job of a queue waits for an instance
            before Batch cancels it: 600 to 86400.
        misconfigured_wait_s: The same for a job that no instance of the queue can ever run.
        user_principal: ARN of the principal that may assume the user role; None for all
            principals of this account whose own policies allow it.
        alert_email: Email address for alerts about failed jobs, blocked queues and the budget.
        monthly_budget_usd: Budget of the whole AWS account; None for no budget.
        force_destroy: Whether `cdk destroy` may delete images. CloudFormation can't empty a bucket,
            so runs must be deleted before, unlike with Terraform.
        tags: Tags of all resources.
    """

    name: str = "main"
    families: Mapping[str, Family] = field(
        default_factory=lambda: {"cpu": Family(), "t4": Family()}
    )
    volume_gib: int = 100
    vpc_id: str | None = None
    subnet_ids: Sequence[str] = ()
    route_table_ids: Sequence[str] = ()
    zones: int | None = None
    nodes_way_out: str = "nat"
    nodes_zone: str | None = None
    nodes_subnet_id: str | None = None
    egress_ports: Sequence[int] = (443,)
    image_repositories: Sequence[str] = ()
    sagemaker_subnet_ids: Sequence[str] = ()
    sagemaker_kms_key_arns: Sequence[str] = ()
    secret_arns: Sequence[str] = ()
    data_buckets: Sequence[str] = ()
    step_role_arns: Sequence[str] = ()
    efs_file_system_arns: Sequence[str] = ()
    notice_arns: Sequence[str] = ()
    schedules: bool = False
    remote_builds: bool = False
    cost_explorer: bool = False
    debug_shell: bool = False
    log_retention_days: int = 30
    capacity_wait_s: int = 86400
    misconfigured_wait_s: int = 3600
    user_principal: str | None = None
    alert_email: str | None = None
    monthly_budget_usd: float | None = 100
    force_destroy: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [*_problems(self)]
        for name, family in self.families.items():
            problems += _problems_of_family(name, family)
        if problems:
            raise ValueError("\n".join(problems))

    @property
    def has_nodes(self) -> bool:
        """True if a family has a queue for jobs on several instances."""
        return any("nodes" in family.capacity for family in self.families.values())

    def has_fsx(self, capacities: Collection[str]) -> bool:
        """True if a family with one of these capacities mounts file systems of FSx."""
        return any(
            family.fsx_file_systems and not set(family.capacity).isdisjoint(capacities)
            for family in self.families.values()
        )


def max_vcpus_of(name: str, family: Family) -> int:
    """Return the limit of the vCPUs of each compute environment of a family."""
    return family.max_vcpus or int(FAMILIES[name]["max_vcpus"])


def sizes_of(name: str, family: Family) -> list[list[str]]:
    """Return the instance types of each compute environment of a family's queues, in order.

    Batch may exceed the limit of an environment by one instance, so larger types are left out.
    """
    if family.sizes is not None:
        return [sorted(types) for types in family.sizes]
    limit = max_vcpus_of(name, family)
    groups = (
        [instance_type for instance_type, vcpus in sorted(group.items()) if vcpus <= limit]
        for group in FAMILIES[name]["sizes"]
    )
    return [types for types in groups if types]


def sizes_of_nodes(name: str, family: Family) -> list[list[str]]:
    """Return the same for jobs on several instances: types with enough Elastic Fabric Adapters.

    EC2 does not start others from a launch template with their network interfaces.
    """
    own = family.nodes_sizes
    sizes = sizes_of(name, family) if own is None else map(sorted, own)
    groups = (
        [instance_type for instance_type in types if _has_efa(instance_type, family)]
        for types in sizes
    )
    return [types for types in groups if types]


def _has_efa(instance_type: str, family: Family) -> bool:
    return EFA_INTERFACES.get(instance_type, 0) >= family.efa


def _problems(options: Options) -> Iterator[str]:
    if not _NAME.fullmatch(options.name):
        yield (
            f"Invalid name {options.name!r}: expected 2 to 18 characters (lower-case letters, "
            "digits and hyphens; a letter first, no hyphen last), as a bucket's name contains it"
        )
    if "cpu" not in options.families or "on-demand" not in options.families["cpu"].capacity:
        yield (
            "families must contain `cpu` with on-demand capacity: it runs steps without a GPU, and "
            "drivers of runs on SageMaker"
        )
    if options.vpc_id is not None and not options.subnet_ids:
        yield "vpc_id requires subnet_ids: the VPC's subnets for the instances"
    if options.volume_gib < _MIN_VOLUME_GIB:
        yield f"volume_gib must be at least {_MIN_VOLUME_GIB}: ECS's images need it"
    if options.zones is not None and not 1 <= options.zones <= MAX_ZONES:
        yield (
            f"zones must be between 1 and {MAX_ZONES}: so many subnets fit into the VPC, next to "
            "that of nodes"
        )
    if options.nodes_way_out not in _WAYS_OUT:
        yield "nodes_way_out must be `nat` or `endpoints`"
    if options.has_nodes and options.vpc_id is not None and options.nodes_subnet_id is None:
        yield (
            "The capacity `nodes` in an existing VPC requires nodes_subnet_id: a private subnet of "
            "the VPC"
        )
    if not all(map(_REPOSITORY.fullmatch, options.image_repositories)):
        yield (
            "image_repositories must be ARNs such as "
            "arn:aws:ecr:us-east-1:763104351884:repository/pytorch-training"
        )
    if not all(map(_SUBNET.fullmatch, options.sagemaker_subnet_ids)):
        yield "sagemaker_subnet_ids must be ids such as subnet-0a1b2c3d"
    if not all(map(_SECRET.fullmatch, options.secret_arns)):
        yield (
            "secret_arns must be ARNs such as "
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf or "
            "arn:aws:ssm:us-east-1:123456789012:parameter/token"
        )
    if not all(map(_BUCKET.fullmatch, options.data_buckets)):
        yield (
            "data_buckets must be names of buckets such as team-data, without s3:// and without a "
            "prefix"
        )
    if not all(map(_ROLE.fullmatch, options.step_role_arns)):
        yield (
            "step_role_arns must be ARNs such as arn:aws:iam::123456789012:role/training, without "
            "wildcards"
        )
    if not all(map(_FILE_SYSTEM.fullmatch, options.efs_file_system_arns)):
        yield (
            "efs_file_system_arns must be ARNs such as arn:aws:elasticfilesystem:us-east-1:"
            "123456789012:file-system/fs-0123456789abcdef0"
        )
    if not all(map(_NOTICES.fullmatch, options.notice_arns)):
        yield (
            "notice_arns must be ARNs such as arn:aws:sns:us-east-1:123456789012:runs, "
            "arn:aws:events:us-east-1:123456789012:event-bus/default or "
            "arn:aws:ssm:us-east-1:123456789012:parameter/webhook"
        )
    if not all(map(_KEY.fullmatch, options.sagemaker_kms_key_arns)):
        yield (
            "sagemaker_kms_key_arns must be ARNs such as "
            "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d, not aliases"
        )


def _problems_of_family(name: str, family: Family) -> Iterator[str]:
    if name not in FAMILIES:
        yield f"Unknown family {name}; known families: {', '.join(FAMILIES)}"
        return
    if not family.capacity or not set(family.capacity) <= _CAPACITIES:
        yield f"families[{name!r}].capacity must be a list of `on-demand`, `spot` and `nodes`"
    if family.efa < 0:
        yield f"families[{name!r}].efa must be a number of Elastic Fabric Adapters, such as 1"
    if (family.efa or family.nodes_sizes) and "nodes" not in family.capacity:
        yield (
            f"families[{name!r}]: efa and nodes_sizes require `nodes` in `capacity`: they are for "
            "jobs on several instances"
        )
    elif sizes_of(name, family) and not sizes_of_nodes(name, family):
        yield _no_efa(name, family)
    if family.image_id is None and FAMILIES[name]["image_type"] is None:
        yield (
            f"Batch no longer has an image for {name}: set families[{name!r}].image_id to a custom "
            "ECS image"
        )
    if (family.volume_gib or _MIN_VOLUME_GIB) < _MIN_VOLUME_GIB:
        yield (
            f"families[{name!r}].volume_gib must be at least {_MIN_VOLUME_GIB}: ECS's images need "
            "it"
        )
    for option, sizes in (("sizes", family.sizes), ("nodes_sizes", family.nodes_sizes)):
        if sizes is not None and not _lists_types(sizes):
            yield (
                f"families[{name!r}].{option} must be one to three lists of instance types such as "
                "g4dn.xlarge. Families such as g4dn are not allowed: Batch prefers their large "
                "sizes"
            )
    if family.sizes is None and not sizes_of(name, family):
        yield (
            f"max_vcpus of {name} is {max_vcpus_of(name, family)}, less than its smallest instance "
            "type has"
        )
    if not _are_file_systems(family.fsx_file_systems):
        yield (
            f"families[{name!r}].fsx_file_systems must be different file systems such as "
            '{"id": "fs-0123456789abcdef0", "mount_name": "abcdefgh"}: the id and the mount name '
            "that FSx shows"
        )
    for taint in family.taints.values():
        if not _TAINT.fullmatch(taint):
            yield (
                f"Invalid taint {taint!r} in families[{name!r}].taints: expected `[VALUE:]EFFECT`, "
                "with the effect NoSchedule, PreferNoSchedule or NoExecute"
            )


def _lists_types(sizes: Sequence[Sequence[str]]) -> bool:
    is_listed = 1 <= len(sizes) <= _MAX_ENVIRONMENTS and all(sizes)
    return is_listed and all(_INSTANCE_TYPE.fullmatch(name) for types in sizes for name in types)


def _are_file_systems(systems: Sequence[object]) -> bool:
    ids = {
        system["id"]
        for system in systems
        if isinstance(system, Mapping)
        and system.keys() == {"id", "mount_name"}
        and all(isinstance(value, str) for value in system.values())
        and _FSX_ID.fullmatch(system["id"])
        and _FSX_MOUNT_NAME.fullmatch(system["mount_name"])
    }
    return len(ids) == len(systems)


def _no_efa(name: str, family: Family) -> str:
    with_efa = [
        f"{instance_type} ({vcpus} vCPUs)"
        for group in FAMILIES[name]["sizes"]
        for instance_type, vcpus in group.items()
        if _has_efa(instance_type, family)
    ]
    return (
        f"No instance type of {name} within max_vcpus ({max_vcpus_of(name, family)}) allows "
        f"efa = {family.efa}. Types of the family that do: {', '.join(with_efa) or 'none'}. Raise "
        "max_vcpus, request fewer adapters, or list types of infra/account/efa.json in "
        "`nodes_sizes`"
    )
