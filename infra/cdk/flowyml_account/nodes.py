"""The network of jobs on several instances.

Their containers have addresses of their own, but no public ones. A job of one instance never uses
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Aws
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.network import Network, egress

__all__ = ["NodesNetwork", "make_nodes_network"]

_SERVICES = ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs")
_SERVICES_OF_SECRETS = ("secretsmanager", "ssm")


@dataclass(frozen=True)
class NodesNetwork:
    """The network of jobs on several instances.

    Attributes:
        way_out: Resources that must exist before instances can reach AWS.
    """

    subnet_id: str
    security_group_id: str
    way_out: Sequence[Construct] = ()


def make_nodes_network(scope: Construct, names: Names, network: Network) -> NodesNetwork | None:
    """Create the network, if a family has a queue for jobs on several instances.

    Raises:
        ValueError: The zone of the options has no subnet.
    """
    options = names.options
    if not options.has_nodes:
        return None
    group_id = _make_security_group(scope, names, network.vpc_id)
    if options.nodes_subnet_id is not None and options.vpc_id is not None:
        return NodesNetwork(options.nodes_subnet_id, group_id)
    # One zone: traffic between zones is slower and costs money.
    zone = options.nodes_zone or next(iter(network.public))
    if zone not in network.public:
        zones = ", ".join(network.public)
        raise ValueError(f"nodes_zone must be one of the zones with a subnet: {zones}")
    tags = names.cfn_tags(Name=f"{names.prefix}-nodes")
    subnet = ec2.CfnSubnet(
        scope,
        "NodesSubnet",
        vpc_id=network.vpc_id,
        availability_zone=zone,
        cidr_block="10.77.240.0/20",
        map_public_ip_on_launch=False,
        tags=tags,
    )
    table = ec2.CfnRouteTable(scope, "NodesRoutes", vpc_id=network.vpc_id, tags=tags)
    ec2.CfnSubnetRouteTableAssociation(
        scope, "NodesSubnetRoutes", subnet_id=subnet.ref, route_table_id=table.ref
    )
    # Data in S3 does not pass the NAT gateway, which costs money by the byte.
    s3 = ec2.CfnVPCEndpoint(
        scope,
        "NodesS3",
        vpc_id=network.vpc_id,
        service_name=f"com.amazonaws.{Aws.REGION}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.ref],
        tags=tags,
    )
    if options.nodes_way_out == "nat":
        way_out = [_make_nat(scope, names, network, network.public[zone], table.ref)]
    else:
        way_out = _make_endpoints(scope, names, network.vpc_id, subnet.ref, group_id)
    return NodesNetwork(subnet.ref, group_id, [s3, *way_out])


def _make_security_group(scope: Construct, names: Names, vpc_id: str) -> str:
    group = ec2.CfnSecurityGroup(
        scope,
        "Nodes",
        group_name=f"{names.prefix}-nodes",
        group_description="Nodes of one job: everything between them, HTTPS goes out",
        vpc_id=vpc_id,
        security_group_egress=egress(names.options, ("nodes",)),
        tags=names.cfn_tags(),
    )
    # All protocols: EFA has one of its own. A group can't refer to itself in its own properties.
    ec2.CfnSecurityGroupIngress(
        scope,
        "NodesIn",
        group_id=group.attr_group_id,
        source_security_group_id=group.attr_group_id,
        ip_protocol="-1",
        description="Other nodes",
    )
    ec2.CfnSecurityGroupEgress(
        scope,
        "NodesOut",
        group_id=group.attr_group_id,
        destination_security_group_id=group.attr_group_id,
        ip_protocol="-1",
        description="Other nodes",
    )
    return group.attr_group_id


def _make_nat(
    scope: Construct, names: Names, network: Network, public_subnet_id: str, table_id: str
) -> Construct:
    tags = names.cfn_tags(Name=f"{names.prefix}-nodes")
    address = ec2.CfnEIP(scope, "NodesAddress", domain="vpc", tags=tags)
    gateway = ec2.CfnNatGateway(
        scope,
        "NodesNat",
        allocation_id=address.attr_allocation_id,
        subnet_id=public_subnet_id,
        tags=tags,
    )
    for construct in (address, gateway):
        construct.node.add_dependency(*network.way_out)
    return ec2.CfnRoute(
        scope,
        "NodesOutRoute",
        route_table_id=table_id,
        destination_cidr_block="0.0.0.0/0",
        nat_gateway_id=gateway.ref,
    )


def _make_endpoints(
    scope: Construct, names: Names, vpc_id: str, subnet_id: str, group_id: str
) -> list[Construct]:
    services = _SERVICES + (_SERVICES_OF_SECRETS if names.options.secret_arns else ())
    return [
        ec2.CfnVPCEndpoint(
            scope,
            "Nodes" + "".join(word.title() for word in service.replace(".", "-").split("-")),
            vpc_id=vpc_id,
            service_name=f"com.amazonaws.{Aws.REGION}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=[subnet_id],
            security_group_ids=[group_id],
            tags=names.cfn_tags(Name=f"{names.prefix}-nodes-{service}"),
        )
        for service in services
    ]
