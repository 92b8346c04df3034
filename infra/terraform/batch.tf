locals {
  catalog = jsondecode(file("${path.module}/../account/families.json"))
  known   = local.catalog.families

  max_vcpus = {
    for family, options in var.families :
    family => coalesce(options.max_vcpus, try(local.known[family].max_vcpus, 0))
  }

  # Groups of instance types, one for each compute environment of a queue, in the order in which Batch tries them.
  # Batch may exceed max_vcpus by one instance, so larger ones are left out.
  sizes = {
    for family, options in var.families : family => options.sizes != null ? options.sizes : [
      for group in try(local.known[family].sizes, []) : [
        for type, vcpus in group : type if vcpus <= local.max_vcpus[family]
      ] if min(values(group)...) <= local.max_vcpus[family]
    ]
  }

  # The same for jobs on several instances, unless they have types of their own. With `efa`, only types with as many
  # Elastic Fabric Adapters, because EC2 does not start others from a launch template with their network interfaces.
  efa_interfaces = jsondecode(file("${path.module}/../account/efa.json")).interfaces
  sizes_of_nodes = {
    for family, options in var.families : family => [
      for types in [
        for group in coalesce(options.nodes_sizes, local.sizes[family]) : [
          for type in group : type if try(local.efa_interfaces[type], 0) >= options.efa
        ]
      ] : types if length(types) > 0
    ]
  }

  # Types of a family with enough adapters, also those with more vCPUs than max_vcpus, for an error.
  efa_types = {
    for family, options in var.families : family => [
      for type, vcpus in merge(try(local.known[family].sizes, [])...) : "${type} (${vcpus} vCPUs)"
      if try(local.efa_interfaces[type], 0) >= options.efa
    ]
  }

  # User data of each family. The document for FSx continues the first one.
  user_data = file("${path.module}/../account/user-data.mime")
  user_data_of = {
    for family, options in var.families : family => length(options.fsx_file_systems) == 0 ? local.user_data : join("", [
      trimsuffix(local.user_data, "--==flowyml-aws==--\n"),
      replace(file("${path.module}/../account/user-data-fsx.mime"), "%FILE_SYSTEMS%", join(" ", [
        for system in options.fsx_file_systems : "${system.id}.fsx.${local.region}.${data.aws_partition.current.dns_suffix}@tcp:/${system.mount_name}"
      ])),
    ])
  }

  # Launch templates by their name without the prefix: `t4`, and `t4-nodes` if its nodes have network interfaces for EFA.
  launch_templates = merge(
    { for family, options in var.families : family => { family = family, efa = 0 } },
    {
      for family, options in var.families : "${family}-nodes" => { family = family, efa = options.efa }
      if options.efa > 0 && contains(options.capacity, "nodes")
    },
  )

  # Queues by their name without the prefix: `t4`, `t4-spot`.
  queues = merge([
    for family, options in var.families : {
      for capacity in options.capacity : (capacity == "on-demand" ? family : "${family}-${capacity}") => {
        family    = family
        spot      = capacity == "spot"
        nodes     = capacity == "nodes"
        efa       = capacity == "nodes" ? options.efa : 0
        template  = capacity == "nodes" && options.efa > 0 ? "${family}-nodes" : family
        max_vcpus = local.max_vcpus[family]
        share     = options.fair_share
        sizes     = capacity == "nodes" ? local.sizes_of_nodes[family] : local.sizes[family]
        tags = merge(
          { "flowyml-aws:label:family" = family },
          # Disk of one job: its part of the volume, or the local disks, on which user-data.mime puts containers.
          { "flowyml-aws:disk-gib" = tostring(coalesce(options.volume_gib, var.volume_gib) - local.catalog.reserved_disk_gib) },
          { "flowyml-aws:nvme" = "data-root" },
          # Clients send jobs with a mount only to queues with this label.
          { for system in options.fsx_file_systems : "flowyml-aws:label:fsx.amazonaws.com/${system.id}" => "mounted" },
          { for key, value in options.labels : "flowyml-aws:label:${key}" => value },
          { for key, value in options.taints : "flowyml-aws:taint:${key}" => value },
        )
      }
    }
  ]...)

  # Compute environments by their name without the prefix: `t4`, `t4-2`, `t4-3`, `t4-spot`.
  environments = merge([
    for name, queue in local.queues : {
      for index, types in queue.sizes :
      (index == 0 ? name : "${name}-${index + 1}") => merge(queue, { queue = name, order = index + 1, types = types })
    }
  ]...)

  # Drivers of detached runs have a queue: they don't wait for the jobs of users, and are placed before them. The taint
  # keeps jobs away.
  job_queues = merge(
    { for name, queue in local.queues : name => { environments_of = name, priority = 1, share = queue.share, tags = queue.tags } },
    { driver = { environments_of = "cpu", priority = 10, share = false, tags = { "flowyml-aws:taint:driver" = "NoSchedule" } } },
  )

  time_limits = [
    { reason = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", wait_s = var.capacity_wait_s },
    { reason = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", wait_s = var.misconfigured_wait_s },
    { reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", wait_s = var.misconfigured_wait_s },
  ]
}

resource "aws_launch_template" "this" {
  for_each = local.launch_templates

  name                   = "${local.prefix}-${each.key}"
  update_default_version = true
  user_data              = base64encode(local.user_data_of[each.value.family])

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      delete_on_termination = true
      encrypted             = true
      volume_size           = coalesce(var.families[each.value.family].volume_gib, var.volume_gib)
      volume_type           = "gp3"
    }
  }

  # One hop keeps containers with their own network from the instance's role. Those of Batch use the host's network:
  # user-data.mime keeps the user of the images from it.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # One for each network card. Only the first one also has an address, so that it is the only one for other traffic.
  dynamic "network_interfaces" {
    for_each = range(each.value.efa)

    content {
      network_card_index    = network_interfaces.value
      device_index          = network_interfaces.value == 0 ? 0 : 1
      interface_type        = network_interfaces.value == 0 ? "efa" : "efa-only"
      security_groups       = aws_security_group.nodes[*].id
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume"]

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, { Name = "${local.prefix}-${each.key}" })
    }
  }

  lifecycle {
    precondition {
      condition     = contains(keys(local.known), each.value.family)
      error_message = "Unknown family ${each.value.family}; known families: ${join(", ", keys(local.known))}."
    }

    precondition {
      condition     = !contains(keys(local.known), each.value.family) || length(local.sizes[each.value.family]) > 0
      error_message = "max_vcpus of ${each.value.family} is ${local.max_vcpus[each.value.family]}, less than its smallest instance type has."
    }

    precondition {
      condition     = var.families[each.value.family].image_id != null || try(local.known[each.value.family].image_type, "") != null
      error_message = "Batch no longer has an image for ${each.value.family}: set families[\"${each.value.family}\"].image_id to a custom ECS image."
    }

    precondition {
      condition     = each.value.efa == 0 || length(local.sizes_of_nodes[each.value.family]) > 0
      error_message = "No instance type of ${each.value.family} within max_vcpus (${local.max_vcpus[each.value.family]}) allows efa = ${each.value.efa}. Types of the family that do: ${coalesce(join(", ", local.efa_types[each.value.family]), "none")}. Raise max_vcpus, request fewer adapters, or list types of infra/account/efa.json in `nodes_sizes`."
    }
  }
}

# Without a service role, Batch creates and uses its service-linked role.
resource "aws_batch_compute_environment" "this" {
  for_each = local.environments

  compute_environment_name = "${local.prefix}-${each.key}"
  type                     = "MANAGED"

  # Clients send jobs on several instances only to environments with the first tag, and give them as many devices for EFA
  # as the second one says.
  tags = merge(
    local.tags,
    each.value.nodes ? { "flowyml-aws-nodes" = "true" } : {},
    each.value.efa > 0 ? { "flowyml-aws-efa" = tostring(each.value.efa) } : {},
  )

  compute_resources {
    type                = each.value.spot ? "SPOT" : "EC2"
    allocation_strategy = each.value.spot ? "SPOT_PRICE_CAPACITY_OPTIMIZED" : "BEST_FIT_PROGRESSIVE"
    min_vcpus           = 0
    max_vcpus           = each.value.max_vcpus
    instance_type       = each.value.types
    instance_role       = aws_iam_instance_profile.instance.arn
    # Batch rejects security groups next to a launch template with network interfaces, which have their own.
    security_group_ids = each.value.efa > 0 ? null : each.value.nodes ? aws_security_group.nodes[*].id : [aws_security_group.instances.id]
    subnets            = each.value.nodes ? [local.nodes_subnet_id] : local.subnet_ids
    placement_group    = each.value.nodes ? aws_placement_group.nodes[each.key].name : null

    ec2_configuration {
      image_type        = coalesce(local.known[each.value.family].image_type, "ECS_AL2023_NVIDIA")
      image_id_override = var.families[each.value.family].image_id
    }

    launch_template {
      launch_template_id = aws_launch_template.this[each.value.template].id
      version            = aws_launch_template.this[each.value.template].latest_version
    }
  }

  # Running jobs may continue for the longest time that this provider allows. Batch allows 7,200 minutes, but the
  # provider's schema has IntBetween(1, 360): internal/service/batch/compute_environment.go.
  update_policy {
    job_execution_timeout_minutes = 360
    terminate_jobs_on_update      = false
  }

  # Keep the role until the environment is deleted: deleting an environment without it fails.
  # So are the routes of nodes, which instances need to be ready.
  depends_on = [aws_iam_role_policy_attachment.instance, aws_route.nodes, aws_vpc_endpoint.nodes, aws_vpc_endpoint.nodes_s3]
}

# All jobs have one share identifier, so that their priorities are compared. It is listed, because Batch has failed to
# create unlisted ones: github.com/ASFHyP3/hyp3/pull/802.
resource "aws_batch_scheduling_policy" "this" {
  count = anytrue([for options in values(var.families) : options.fair_share]) ? 1 : 0

  name = local.prefix
  tags = local.tags

  fair_share_policy {
    share_distribution {
      share_identifier = "flowyml"
      weight_factor    = 1
    }
  }
}

resource "aws_batch_job_queue" "this" {
  for_each = local.job_queues

  name                  = "${local.prefix}-${each.key}"
  state                 = "ENABLED"
  priority              = each.value.priority
  scheduling_policy_arn = each.value.share ? aws_batch_scheduling_policy.this[0].arn : null
  tags                  = merge(local.tags, each.value.tags)

  dynamic "compute_environment_order" {
    for_each = { for name, environment in local.environments : environment.order => name if environment.queue == each.value.environments_of }

    content {
      order               = compute_environment_order.key
      compute_environment = aws_batch_compute_environment.this[compute_environment_order.value].arn
    }
  }

  dynamic "job_state_time_limit_action" {
    for_each = local.time_limits

    content {
      action           = "CANCEL"
      state            = "RUNNABLE"
      reason           = job_state_time_limit_action.value.reason
      max_time_seconds = job_state_time_limit_action.value.wait_s
    }
  }
}

# Accounts that an earlier version created keep this queue.
moved {
  from = aws_batch_job_queue.driver
  to   = aws_batch_job_queue.this["driver"]
}
