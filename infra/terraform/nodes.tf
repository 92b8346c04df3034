# The network of jobs on several instances: their containers have addresses of their own, but no public ones. A job of
# one instance never uses it.
locals {
  has_nodes       = anytrue([for options in values(var.families) : contains(options.capacity, "nodes")])
  own_nodes       = local.has_nodes && local.own_vpc
  nodes_zone      = var.nodes_zone == null ? try(local.zones[0], null) : var.nodes_zone
  nodes_subnet_id = local.own_nodes ? aws_subnet.nodes[0].id : var.nodes_subnet_id
  nodes_endpoints = local.own_nodes && var.nodes_way_out == "endpoints" ? toset(concat(["ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs"], length(var.secret_arns) > 0 ? ["secretsmanager", "ssm"] : [])) : toset([])
}

# One zone: traffic between zones is slower and costs money.
resource "aws_subnet" "nodes" {
  count = local.own_nodes ? 1 : 0

  vpc_id            = aws_vpc.this[0].id
  availability_zone = local.nodes_zone
  cidr_block        = "10.77.240.0/20"
  tags              = merge(local.tags, { Name = "${local.prefix}-nodes" })

  # New zones change the list of zones, but must not move the subnet.
  lifecycle {
    ignore_changes = [availability_zone]

    precondition {
      condition     = contains(local.zones, local.nodes_zone)
      error_message = "nodes_zone must be one of the zones with a subnet: ${join(", ", local.zones)}."
    }
  }
}

resource "aws_route_table" "nodes" {
  count = local.own_nodes ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${local.prefix}-nodes" })
}

resource "aws_route_table_association" "nodes" {
  count = local.own_nodes ? 1 : 0

  subnet_id      = aws_subnet.nodes[0].id
  route_table_id = aws_route_table.nodes[0].id
}

resource "aws_eip" "nodes" {
  count = local.own_nodes && var.nodes_way_out == "nat" ? 1 : 0

  domain = "vpc"
  tags   = merge(local.tags, { Name = "${local.prefix}-nodes" })
}

resource "aws_nat_gateway" "nodes" {
  count = local.own_nodes && var.nodes_way_out == "nat" ? 1 : 0

  allocation_id = aws_eip.nodes[0].id
  subnet_id     = aws_subnet.public[index(local.zones, local.nodes_zone)].id
  tags          = merge(local.tags, { Name = "${local.prefix}-nodes" })
  depends_on    = [aws_route.out]
}

resource "aws_route" "nodes" {
  count = local.own_nodes && var.nodes_way_out == "nat" ? 1 : 0

  route_table_id         = aws_route_table.nodes[0].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.nodes[0].id
}

# Data in S3 does not pass the NAT gateway, which costs money by the byte.
resource "aws_vpc_endpoint" "nodes_s3" {
  count = local.own_nodes ? 1 : 0

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = aws_route_table.nodes[*].id
  tags              = merge(local.tags, { Name = "${local.prefix}-nodes" })
}

resource "aws_vpc_endpoint" "nodes" {
  for_each = local.nodes_endpoints

  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.nodes[*].id
  security_group_ids  = aws_security_group.nodes[*].id
  tags                = merge(local.tags, { Name = "${local.prefix}-nodes-${each.key}" })
}

resource "aws_security_group" "nodes" {
  count = local.has_nodes ? 1 : 0

  name        = "${local.prefix}-nodes"
  description = "Nodes of one job: everything between them, HTTPS goes out"
  vpc_id      = local.vpc_id
  tags        = local.tags

  # All protocols: EFA has one of its own.
  ingress {
    description = "Other nodes"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    self        = true
  }

  egress {
    description = "Other nodes"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    self        = true
  }

  dynamic "egress" {
    for_each = var.egress_ports

    content {
      description = "Port ${egress.value}"
      from_port   = egress.value
      to_port     = egress.value
      protocol    = "tcp"
      cidr_blocks = ["0.0.0.0/0"]
    }
  }

  dynamic "egress" {
    for_each = local.nodes_lustre ? local.lustre_rules : []

    content {
      description = "FSx for Lustre"
      from_port   = egress.value.ports[0]
      to_port     = egress.value.ports[1]
      protocol    = "tcp"
      cidr_blocks = [egress.value.cidr]
    }
  }

  lifecycle {
    precondition {
      condition     = local.own_vpc || var.nodes_subnet_id != null
      error_message = "The capacity `nodes` in an existing VPC requires nodes_subnet_id: a private subnet of the VPC."
    }
  }
}

# Instances of one environment are close to each other.
resource "aws_placement_group" "nodes" {
  for_each = { for name, environment in local.environments : name => environment if environment.nodes }

  name     = "${local.prefix}-${each.key}"
  strategy = "cluster"
  tags     = local.tags
}
