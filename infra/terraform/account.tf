# All settings that a client needs; it reads them if its setting `account` is `name`.
resource "aws_ssm_parameter" "account" {
  #checkov:skip=CKV2_AWS_34:It contains names, but no secrets
  #checkov:skip=CKV_AWS_337:It contains names, but no secrets

  name        = local.parameter
  description = "Settings of flowyml-aws for all users of this account"
  type        = "String"
  tags        = local.tags

  value = jsonencode(merge({
    version        = 1
    store          = local.store
    queues         = [for key in sort(keys(local.queues)) : "${local.prefix}-${key}"]
    repository     = local.repository
    job_role       = local.role_arn["job"]
    execution_role = local.role_arn["execution"]
    log_group      = local.log_group
    driver_queue   = local.driver_queue
    driver_role    = local.role_arn["driver"]
    sagemaker_role = local.role_arn["sagemaker"]
    }, var.schedules ? {
    schedule_group = local.prefix
    schedule_role  = local.role_arn["scheduler"]
    } : {}, var.remote_builds ? {
    build_project = local.build_project
  } : {}))
}
