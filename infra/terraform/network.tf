locals {
  own_vpc    = var.vpc_id == null
  vpc_id     = local.own_vpc ? aws_vpc.this[0].id : var.vpc_id
  zones      = slice(data.aws_availability_zones.available.names, 0, min(coalesce(var.zones, 15), length(data.aws_availability_zones.available.names)))
  subnet_ids = local.own_vpc ? aws_subnet.public[*].id : var.subnet_ids

  # Families whose instances mount file systems of FSx for Lustre, which have private addresses only.
  # https://docs.aws.amazon.com/fsx/latest/LustreGuide/limit-access-security-groups.html
  with_fsx         = [for options in values(var.families) : options if length(options.fsx_file_systems) > 0]
  instances_lustre = anytrue([for options in local.with_fsx : length(setsubtract(options.capacity, ["nodes"])) > 0])
  nodes_lustre     = anytrue([for options in local.with_fsx : contains(options.capacity, "nodes")])
  lustre_cidrs     = local.own_vpc ? ["10.77.0.0/16"] : ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"]
  lustre_rules = [
    for pair in setproduct([[988, 988], [1018, 1023]], local.lustre_cidrs) : { ports = pair[0], cidr = pair[1] }
  ]
}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:A subnet stays in the zone in which it was created

  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:Flow logs cost by the byte; an organisation that needs them enables them for all its VPCs
  #checkov:skip=CKV2_AWS_12:The default security group is unused: instances have a separate group without ingress

  count = local.own_vpc ? 1 : 0

  cidr_block           = "10.77.0.0/16"
  enable_dns_hostnames = true
  enable_dns_support   = true
  tags                 = merge(local.tags, { Name = local.prefix })
}

resource "aws_internet_gateway" "this" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = local.prefix })
}

resource "aws_subnet" "public" {
  #checkov:skip=CKV_AWS_130:Public addresses avoid a NAT gateway, which costs money while idle; there is no ingress

  count = local.own_vpc ? length(local.zones) : 0

  vpc_id                  = aws_vpc.this[0].id
  availability_zone       = local.zones[count.index]
  cidr_block              = "10.77.${count.index * 16}.0/20"
  map_public_ip_on_launch = true
  tags                    = merge(local.tags, { Name = "${local.prefix}-${count.index}" })

  # New zones change the list of zones, but must not move a subnet.
  lifecycle {
    ignore_changes = [availability_zone]
  }
}

resource "aws_route_table" "public" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = local.prefix })
}

resource "aws_route" "out" {
  count = local.own_vpc ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  count = local.own_vpc ? length(local.zones) : 0

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public[0].id
}

# Jobs transfer data to and from S3 through it, free of charge.
resource "aws_vpc_endpoint" "s3" {
  count = local.own_vpc || length(var.route_table_ids) > 0 ? 1 : 0

  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.own_vpc ? aws_route_table.public[*].id : var.route_table_ids
  tags              = merge(local.tags, { Name = local.prefix })
}

resource "aws_security_group" "instances" {
  name        = "${local.prefix}-instances"
  description = "Instances of flowyml-aws: nothing comes in, HTTPS goes out"
  vpc_id      = local.vpc_id
  tags        = local.tags

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
    for_each = local.instances_lustre ? local.lustre_rules : []

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
      condition     = local.own_vpc || length(var.subnet_ids) > 0
      error_message = "vpc_id requires subnet_ids: the VPC's subnets for the instances."
    }
  }
}
