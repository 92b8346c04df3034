"""The VPC, new or existing, and the security group of the instances."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Aws, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.options import MAX_ZONES, Options

__all__ = ["Network", "egress", "make_network"]

_CIDR = "10.77.0.0/16"
_LUSTRE_PORTS = ((988, 988), (1018, 1023))
_PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")


@dataclass(frozen=True)
class Network:
    """The network of the instances.

    Attributes:
        subnet_ids: Subnets of jobs on one instance.
        way_out: Resources that must exist before instances can reach AWS.
        public: Public subnets of a new VPC, by zone.
    """

    vpc_id: str
    subnet_ids: Sequence[str]
    security_group_id: str
    way_out: Sequence[Construct] = ()
    public: Mapping[str, str] = field(default_factory=dict)


def make_network(scope: Construct, names: Names) -> Network:
    """Create the network of the instances."""
    options = names.options
    vpc_id, subnet_ids, tables = options.vpc_id, options.subnet_ids, options.route_table_ids
    way_out: list[Construct] = []
    public: dict[str, str] = {}
    if vpc_id is None:
        vpc_id, public, tables, way_out = _make_vpc(scope, names)
        subnet_ids = list(public.values())
    if tables:
        # Jobs transfer data to and from S3 through it, free of charge.
        ec2.CfnVPCEndpoint(
            scope,
            "S3",
            vpc_id=vpc_id,
            service_name=f"com.amazonaws.{Aws.REGION}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(tables),
            tags=names.cfn_tags(Name=names.prefix),
        )
    group = ec2.CfnSecurityGroup(
        scope,
        "Instances",
        group_name=f"{names.prefix}-instances",
        group_description="Instances of flowyml-aws: nothing comes in, HTTPS goes out",
        vpc_id=vpc_id,
        security_group_egress=egress(options, ("on-demand", "spot")),
        tags=names.cfn_tags(),
    )
    return Network(vpc_id, subnet_ids, group.attr_group_id, way_out, public)


def egress(
    options: Options, capacities: Collection[str]
) -> list[ec2.CfnSecurityGroup.EgressProperty]:
    """Return the rules for the remote ports that jobs and instances may connect to.

    Args:
        options: Options of the account.
        capacities: Capacities of the instances of the security group.
    """
    rules = [(f"Port {port}", port, port, "0.0.0.0/0") for port in options.egress_ports]
    if options.has_fsx(capacities):
        # File systems of FSx for Lustre have private addresses only.
        # https://docs.aws.amazon.com/fsx/latest/LustreGuide/limit-access-security-groups.html
        cidrs = (_CIDR,) if options.vpc_id is None else _PRIVATE
        rules += [
            ("FSx for Lustre", first, last, cidr) for first, last in _LUSTRE_PORTS for cidr in cidrs
        ]
    return [
        ec2.CfnSecurityGroup.EgressProperty(
            description=description,
            ip_protocol="tcp",
            from_port=first,
            to_port=last,
            cidr_ip=cidr,
        )
        for description, first, last, cidr in rules
    ]


def _make_vpc(
    scope: Construct, names: Names
) -> tuple[str, dict[str, str], list[str], list[Construct]]:
    """Create a VPC; return its id, subnets by zone, route tables and route to the internet."""
    tags = names.cfn_tags(Name=names.prefix)
    vpc = ec2.CfnVPC(
        scope,
        "Vpc",
        cidr_block=_CIDR,
        enable_dns_hostnames=True,
        enable_dns_support=True,
        tags=tags,
    )
    gateway = ec2.CfnInternetGateway(scope, "Gateway", tags=tags)
    attached = ec2.CfnVPCGatewayAttachment(
        scope, "Attached", vpc_id=vpc.ref, internet_gateway_id=gateway.ref
    )
    table = ec2.CfnRouteTable(scope, "Routes", vpc_id=vpc.ref, tags=tags)
    out = ec2.CfnRoute(
        scope,
        "Out",
        route_table_id=table.ref,
        destination_cidr_block="0.0.0.0/0",
        gateway_id=gateway.ref,
    )
    out.node.add_dependency(attached)
    subnets = {}
    for number, zone in enumerate(_zones(scope, names.options)):
        # Public addresses avoid a NAT gateway, which costs money while idle.
        subnet = ec2.CfnSubnet(
            scope,
            f"Subnet{number}",
            vpc_id=vpc.ref,
            availability_zone=zone,
            cidr_block=f"10.77.{number * 16}.0/20",
            map_public_ip_on_launch=True,
            tags=names.cfn_tags(Name=f"{names.prefix}-{number}"),
        )
        ec2.CfnSubnetRouteTableAssociation(
            scope, f"SubnetRoutes{number}", subnet_id=subnet.ref, route_table_id=table.ref
        )
        subnets[zone] = subnet.ref
    return vpc.ref, subnets, [table.ref], [out]


def _zones(scope: Construct, options: Options) -> list[str]:
    """Return the availability zones of the subnets: all of the region, or the wanted number.

    CDK asks the account for its zones if the stack has an account and a region. Otherwise, they are
    the first two, which every region has.
    """
    # Local zones and wavelength zones, which accounts opt in to, have longer names.
    available = Stack.of(scope).availability_zones
    zones = [zone for zone in available if not re.search(r"\d-", zone)]
    return zones[: options.zones or MAX_ZONES]
