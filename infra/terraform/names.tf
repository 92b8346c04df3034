# All names are derived from the variables, so that policies are known when planning. infra/cdk derives the same names.
locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  prefix     = "flowyml-${var.name}"
  iam_prefix = "${local.prefix}-${local.region}" # of names that are unique in an AWS account, in all its regions
  bucket     = "${local.prefix}-${local.account}-${local.region}"
  store      = "s3://${local.bucket}/flowyml"
  log_group  = "/flowyml-aws/${var.name}"
  parameter  = "/flowyml-aws/${var.name}"
  topic_arn  = "arn:${local.partition}:sns:${local.region}:${local.account}:${local.prefix}-alerts"
  repository = "${local.account}.dkr.ecr.${local.region}.${data.aws_partition.current.dns_suffix}/${local.prefix}"
  role_arn   = { for role in ["job", "execution", "driver", "sagemaker", "scheduler", "builds"] : role => "arn:${local.partition}:iam::${local.account}:role/${local.iam_prefix}-${role}" }
  tags       = merge(var.tags, { "flowyml-aws" = var.name })

  build_project = "${local.prefix}-images" # of CodeBuild

  # Queue of the drivers of detached runs. No family has this name.
  driver_queue = "${local.prefix}-driver"

  # Values of the placeholders in the documents under infra/account/policies.
  named = {
    partition          = local.partition
    region             = local.region
    account            = local.account
    prefix             = local.prefix
    bucket_arn         = "arn:${local.partition}:s3:::${local.bucket}"
    store_arn          = "arn:${local.partition}:s3:::${local.bucket}/flowyml"
    repository_arn     = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${local.prefix}"
    log_group_arn      = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
    parameter_arn      = "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${local.parameter}"
    topic_arn          = local.topic_arn
    build_project_arn  = "arn:${local.partition}:codebuild:${local.region}:${local.account}:project/${local.build_project}"
    job_role_arn       = local.role_arn["job"]
    execution_role_arn = local.role_arn["execution"]
    driver_role_arn    = local.role_arn["driver"]
    sagemaker_role_arn = local.role_arn["sagemaker"]
    scheduler_role_arn = local.role_arn["scheduler"]
    builds_role_arn    = local.role_arn["builds"]

    # JSON lists, for optional documents.
    image_repository_arns = jsonencode(var.image_repositories)
    sagemaker_subnet_arns = jsonencode([for id in var.sagemaker_subnet_ids : "arn:${local.partition}:ec2:${local.region}:*:subnet/${id}"])
    sagemaker_key_arns    = jsonencode(var.sagemaker_kms_key_arns)
    secret_arns           = jsonencode(var.secret_arns)
    data_bucket_arns      = jsonencode([for bucket in var.data_buckets : "arn:${local.partition}:s3:::${bucket}"])
    data_object_arns      = jsonencode([for bucket in var.data_buckets : "arn:${local.partition}:s3:::${bucket}/*"])
    step_role_arns        = jsonencode(var.step_role_arns)
    efs_file_system_arns  = jsonencode(var.efs_file_system_arns)
    notice_arns           = jsonencode(var.notice_arns)

    principal = coalesce(var.user_principal, "arn:${local.partition}:iam::${local.account}:root")
  }
  policies = "${path.module}/../account/policies"
}
