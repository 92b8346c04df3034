"""The way out of a subnet for the nodes of a job, which get no public address.

On AWS, nodes in a public subnet start, and their calls of AWS time out. Here, their job is refused.

Source: "Compute environment considerations for MNP" in the user guide of AWS Batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.route_tables import RouteTable

__all__ = ["lack_of_way_out"]

_ANYWHERE = "0.0.0.0/0"


def lack_of_way_out(resources: Mapping[str, Any], region: str) -> str | None:
    """Return why nodes in a compute environment can't reach AWS, or None if they can.

    Endpoints of other services than S3 are not checked.

    Args:
        resources: Resources of the environment.
        region: Region of the environment.
    """
    ec2 = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    reasons = (_lack_of(ec2, subnet_id) for subnet_id in resources.get("subnets") or ())
    return next((reason for reason in reasons if reason is not None), None)


def _lack_of(ec2: EC2Backend, subnet_id: str) -> str | None:
    try:
        subnet = ec2.get_subnet(subnet_id)
    except ServiceException:
        return f"subnet {subnet_id} does not exist"
    table = _route_table(ec2, subnet.vpc_id, subnet_id)
    routes = [] if table is None else table.routes
    outward = [route for route in routes if route.destination_cidr_block == _ANYWHERE]
    if any(route.nat_gateway is not None for route in outward):
        return None
    if outward or str(subnet.map_public_ip_on_launch).lower() == "true":
        return f"subnet {subnet_id} is public, and a node gets no public address"
    for endpoint in ec2.vpc_end_points.values():
        if endpoint.vpc_id == subnet.vpc_id and endpoint.service_name.endswith(".s3"):
            return None
    return f"subnet {subnet_id} has neither a route to a NAT gateway nor a VPC endpoint of S3"


def _route_table(ec2: EC2Backend, vpc_id: str, subnet_id: str) -> RouteTable | None:
    """Return the route table of a subnet: its own one, or the main one of its VPC."""
    tables = [table for table in ec2.route_tables.values() if table.vpc_id == vpc_id]
    own = (t for t in tables if any(a.get("SubnetId") == subnet_id for a in t.associations))
    main = (t for t in tables if t.main_association_id is not None)
    return next(own, None) or next(main, None)
