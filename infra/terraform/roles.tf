# Permissions of the ECS agent on each instance.
resource "aws_iam_role" "instance" {
  name               = "${local.iam_prefix}-instance"
  assume_role_policy = templatefile("${local.policies}/trust-instance.json", local.named)
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instance" {
  name = "${local.iam_prefix}-instance"
  role = aws_iam_role.instance.name
  tags = local.tags
}

locals {
  roles = merge({
    job       = "tasks"     # the user's code in a job
    execution = "tasks"     # pulls the image and writes the log
    driver    = "tasks"     # drives a run on SageMaker after the client has detached
    sagemaker = "sagemaker" # the user's code in a training job, and the platform
    }, var.schedules ? {
    scheduler = "scheduler" # submits the drivers of scheduled runs
    } : {}, var.remote_builds ? {
    builds = "builds" # builds images and pushes them
  } : {})
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name               = "${local.iam_prefix}-${each.key}"
  assume_role_policy = templatefile("${local.policies}/trust-${each.value}.json", local.named)
  tags               = local.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = templatefile("${local.policies}/${each.key}.json", local.named)
}

locals {
  # Documents that options add to the policies of a role.
  optional_policies = merge(
    length(var.image_repositories) == 0 ? {} : { execution-images = "execution", sagemaker-images = "sagemaker" },
    length(var.sagemaker_subnet_ids) == 0 ? {} : { sagemaker-vpc = "sagemaker" },
    length(var.secret_arns) == 0 ? {} : { execution-secrets = "execution", sagemaker-secrets = "sagemaker" },
    length(var.notice_arns) == 0 ? {} : { driver-notices = "driver" },
    length(var.sagemaker_kms_key_arns) == 0 ? {} : { sagemaker-keys = "sagemaker" },
    length(var.data_buckets) == 0 ? {} : { job-data = "job", sagemaker-data = "sagemaker" },
    var.debug_shell ? { job-shell = "job", sagemaker-shell = "sagemaker" } : {},
    length(var.step_role_arns) == 0 ? {} : { driver-roles = "driver" },
    length(var.efs_file_system_arns) == 0 ? {} : { job-efs = "job" },
  )
}

resource "aws_iam_role_policy" "optional" {
  for_each = local.optional_policies

  name   = each.key
  role   = aws_iam_role.this[each.value].id
  policy = templatefile("${local.policies}/optional/${trimprefix(each.key, "${each.value}-")}.json", local.named)
}

# A separate policy, so that it can also be attached to users or to a permission set.
resource "aws_iam_policy" "user" {
  name        = "${local.iam_prefix}-user"
  description = "Runs pipelines of flowyml-aws from a laptop"
  policy      = templatefile("${local.policies}/user.json", local.named)
  tags        = local.tags
}

resource "aws_iam_role" "user" {
  name                 = "${local.iam_prefix}-user"
  assume_role_policy   = templatefile("${local.policies}/trust-user.json", local.named)
  max_session_duration = 43200
  tags                 = local.tags
}

resource "aws_iam_role_policy_attachment" "user" {
  role       = aws_iam_role.user.name
  policy_arn = aws_iam_policy.user.arn
}

resource "aws_iam_role_policy" "user" {
  for_each = merge(
    var.cost_explorer ? { user-costs = "costs" } : {},
    length(var.data_buckets) == 0 ? {} : { user-data = "data" },
    var.debug_shell ? { user-sessions = "sessions" } : {},
    length(var.step_role_arns) == 0 ? {} : { user-roles = "roles" },
    length(var.notice_arns) == 0 ? {} : { user-notices = "notices" },
    var.schedules ? { user-schedules = "schedules" } : {},
    var.remote_builds ? { user-builds = "builds" } : {},
  )

  name   = each.key
  role   = aws_iam_role.user.id
  policy = templatefile("${local.policies}/optional/${each.value}.json", local.named)
}
