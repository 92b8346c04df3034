"""Launch templates, compute environments and queues of the enabled families."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Aws, CfnTag, Fn
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.network import Network
from flowyml_account.nodes import NodesNetwork
from flowyml_account.options import Family, Options, max_vcpus_of, sizes_of, sizes_of_nodes
from flowyml_account.roles import Roles
from flowyml_account.shared import FAMILIES, RESERVED_DISK_GIB, user_data

__all__ = ["make_queues"]


_STRATEGIES = {False: "BEST_FIT_PROGRESSIVE", True: "SPOT_PRICE_CAPACITY_OPTIMIZED"}


@dataclass(frozen=True)
class _Queue:
    name: str
    family: str
    options: Family
    volume_gib: int
    capacity: str

    @property
    def efa(self) -> int:
        """Elastic Fabric Adapters of each instance."""
        return self.options.efa if self.capacity == "nodes" else 0

    @property
    def sizes(self) -> list[list[str]]:
        """Instance types of each compute environment."""
        sizes = sizes_of_nodes if self.capacity == "nodes" else sizes_of
        return sizes(self.family, self.options)

    @property
    def tags(self) -> dict[str, str]:
        """Labels, taints and disks, in the form that clients read."""
        return {
            "flowyml-aws:label:family": self.family,
            # What one job can use of the volume, and where containers are if the type has local
            # disks: user-data.mime.
            "flowyml-aws:disk-gib": str(self.volume_gib - RESERVED_DISK_GIB),
            "flowyml-aws:nvme": "data-root",
            # Clients send jobs with a mount only to queues with this label.
            **{
                f"flowyml-aws:label:fsx.amazonaws.com/{system['id']}": "mounted"
                for system in self.options.fsx_file_systems
            },
            **{f"flowyml-aws:label:{key}": value for key, value in self.options.labels.items()},
            **{f"flowyml-aws:taint:{key}": value for key, value in self.options.taints.items()},
        }


def make_queues(
    scope: Construct, names: Names, network: Network, nodes: NodesNetwork | None, roles: Roles
) -> list[str]:
    """Create the queues with their compute environments, and return the names of those for jobs."""
    templates = {
        family: _launch_template(scope, names, family, options)
        for family, options in names.options.families.items()
    }
    policy = _scheduling_policy(scope, names)
    for queue in (queues := sorted(_queues(names), key=lambda q: q.name)):
        template = templates[queue.family]
        if queue.efa and nodes is not None:
            template = _launch_template(
                scope, names, f"{queue.family}-nodes", queue.options, _efa(queue.efa, nodes)
            )
        environments = [
            _compute_environment(
                scope, names, queue, number, types, template, network, nodes, roles
            )
            for number, types in enumerate(queue.sizes, 1)
        ]
        share = policy if queue.options.fair_share else None
        _job_queue(
            scope, names, queue.name, environments, priority=1, tags=queue.tags, policy=share
        )
        if queue.name == f"{names.prefix}-cpu":
            # Drivers don't wait for the jobs of users, and are placed before them.
            taint = {"flowyml-aws:taint:driver": "NoSchedule"}  # keeps jobs away
            _job_queue(scope, names, names.driver_queue, environments, priority=10, tags=taint)
    return [queue.name for queue in queues]


def _job_queue(
    scope: Construct,
    names: Names,
    name: str,
    environments: Sequence[batch.CfnComputeEnvironment],
    *,
    priority: int,
    tags: Mapping[str, str],
    policy: str | None = None,
) -> None:
    batch.CfnJobQueue(
        scope,
        _id("Queue", name, names),
        job_queue_name=name,
        state="ENABLED",
        priority=priority,
        scheduling_policy_arn=policy,
        compute_environment_order=[
            batch.CfnJobQueue.ComputeEnvironmentOrderProperty(
                order=number, compute_environment=environment.attr_compute_environment_arn
            )
            for number, environment in enumerate(environments, 1)
        ],
        job_state_time_limit_actions=_time_limits(names.options),
        tags={**names.tags, **tags},
    )


def _scheduling_policy(scope: Construct, names: Names) -> str | None:
    """Create the fair-share scheduling policy, and return its ARN; None if no family has it.

    All jobs have one share identifier, so that their priorities are compared. It is listed, because
    Batch has failed to create unlisted ones: github.com/ASFHyP3/hyp3/pull/802.
    """
    if not any(family.fair_share for family in names.options.families.values()):
        return None
    share = batch.CfnSchedulingPolicy.ShareAttributesProperty(
        share_identifier="flowyml", weight_factor=1
    )
    policy = batch.CfnSchedulingPolicy(
        scope,
        "SchedulingPolicy",
        name=names.prefix,
        fairshare_policy=batch.CfnSchedulingPolicy.FairsharePolicyProperty(
            share_distribution=[share]
        ),
        tags=names.tags,
    )
    return policy.attr_arn


def _queues(names: Names) -> Iterator[_Queue]:
    for family, options in names.options.families.items():
        for capacity in options.capacity:
            suffix = "" if capacity == "on-demand" else f"-{capacity}"
            name = f"{names.prefix}-{family}{suffix}"
            volume_gib = options.volume_gib or names.options.volume_gib
            yield _Queue(name, family, options, volume_gib, capacity)


def _time_limits(options: Options) -> list[batch.CfnJobQueue.JobStateTimeLimitActionProperty]:
    waits = {
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY": options.capacity_wait_s,
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": options.misconfigured_wait_s,
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": options.misconfigured_wait_s,
    }
    return [
        batch.CfnJobQueue.JobStateTimeLimitActionProperty(
            action="CANCEL", state="RUNNABLE", reason=reason, max_time_seconds=wait_s
        )
        for reason, wait_s in waits.items()
    ]


def _efa(number: int, nodes: NodesNetwork) -> list[ec2.CfnLaunchTemplate.NetworkInterfaceProperty]:
    """Return network interfaces with Elastic Fabric Adapters, one for each network card.

    Only the first one also has an address, so that it is the only one for other traffic.
    """
    return [
        ec2.CfnLaunchTemplate.NetworkInterfaceProperty(
            network_card_index=card,
            device_index=0 if card == 0 else 1,
            interface_type="efa" if card == 0 else "efa-only",
            groups=[nodes.security_group_id],
            delete_on_termination=True,
        )
        for card in range(number)
    ]


def _launch_template(
    scope: Construct,
    names: Names,
    short_name: str,
    options: Family,
    interfaces: Sequence[ec2.CfnLaunchTemplate.NetworkInterfaceProperty] = (),
) -> ec2.CfnLaunchTemplate:
    name = f"{names.prefix}-{short_name}"
    return ec2.CfnLaunchTemplate(
        scope,
        _id("Template", name, names),
        launch_template_name=name,
        launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
            block_device_mappings=[
                ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
                    device_name="/dev/xvda",
                    ebs=ec2.CfnLaunchTemplate.EbsProperty(
                        delete_on_termination=True,
                        encrypted=True,
                        volume_size=options.volume_gib or names.options.volume_gib,
                        volume_type="gp3",
                    ),
                )
            ],
            user_data=_user_data(options),
            # One hop keeps containers with their own network from the instance's role. Those of
            # Batch use the host's network: user-data.mime keeps the user of the images from it.
            metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            network_interfaces=list(interfaces) or None,
            tag_specifications=[
                ec2.CfnLaunchTemplate.TagSpecificationProperty(
                    resource_type=kind, tags=_with_name(names, name)
                )
                for kind in ("instance", "volume")
            ],
        ),
    )


def _user_data(options: Family) -> str:
    if not options.fsx_file_systems:
        return base64.b64encode(user_data(()).encode()).decode()
    # Only CloudFormation knows the region.
    sources = [
        f"{system['id']}.fsx.{Aws.REGION}.{Aws.URL_SUFFIX}@tcp:/{system['mount_name']}"
        for system in options.fsx_file_systems
    ]
    return str(Fn.base64(user_data(sources)))


def _compute_environment(
    scope: Construct,
    names: Names,
    queue: _Queue,
    number: int,
    types: list[str],
    template: ec2.CfnLaunchTemplate,
    network: Network,
    nodes: NodesNetwork | None,
    roles: Roles,
) -> batch.CfnComputeEnvironment:
    known, options = FAMILIES[queue.family], queue.options
    name = queue.name if number == 1 else f"{queue.name}-{number}"
    is_spot, has_nodes = queue.capacity == "spot", queue.capacity == "nodes"
    place = nodes if has_nodes and nodes is not None else network
    subnets = [place.subnet_id] if isinstance(place, NodesNetwork) else list(place.subnet_ids)
    # Without a service role, Batch creates and uses its service-linked role.
    environment = batch.CfnComputeEnvironment(
        scope,
        _id("Environment", name, names),
        compute_environment_name=name,
        type="MANAGED",
        replace_compute_environment=False,
        compute_resources=batch.CfnComputeEnvironment.ComputeResourcesProperty(
            type="SPOT" if is_spot else "EC2",
            allocation_strategy=_STRATEGIES[is_spot],
            minv_cpus=0,
            maxv_cpus=max_vcpus_of(queue.family, options),
            instance_types=types,
            instance_role=roles.profile_arn,
            # Batch rejects security groups next to a launch template with network interfaces, which
            # have their own.
            security_group_ids=None if queue.efa else [place.security_group_id],
            subnets=subnets,
            placement_group=_placement_group(scope, names, name) if has_nodes else None,
            ec2_configuration=[
                batch.CfnComputeEnvironment.Ec2ConfigurationObjectProperty(
                    image_type=known["image_type"] or "ECS_AL2023_NVIDIA",
                    image_id_override=options.image_id,
                )
            ],
            launch_template=batch.CfnComputeEnvironment.LaunchTemplateSpecificationProperty(
                launch_template_id=template.ref, version=template.attr_latest_version_number
            ),
        ),
        # As in Terraform, whose provider allows no more; Batch allows 7,200 minutes.
        update_policy=batch.CfnComputeEnvironment.UpdatePolicyProperty(
            job_execution_timeout_minutes=360, terminate_jobs_on_update=False
        ),
        # Clients send jobs on several instances only to environments with the first tag, and give
        # them as many devices for EFA as the second one says.
        tags={
            **names.tags,
            **({"flowyml-aws-nodes": "true"} if has_nodes else {}),
            **({"flowyml-aws-efa": str(queue.efa)} if queue.efa else {}),
        },
    )
    # Keep the role until the environment is deleted: deleting an environment without it fails.
    environment.node.add_dependency(roles.instance, *network.way_out, *place.way_out)
    return environment


def _placement_group(scope: Construct, names: Names, name: str) -> str:
    """Create a group whose instances are close to each other; CloudFormation names it."""
    group = ec2.CfnPlacementGroup(
        scope,
        _id("Placement", name, names),
        strategy="cluster",
        tags=names.cfn_tags(),
    )
    return group.ref


def _with_name(names: Names, name: str) -> list[CfnTag]:
    return names.cfn_tags(Name=name)


def _id(kind: str, name: str, names: Names) -> str:
    words = name.removeprefix(names.prefix).split("-")
    return kind + "".join(word.title() for word in words)
