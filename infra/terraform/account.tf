# All that a client has to know; it reads this when its setting `account` is `name`.
resource "aws_ssm_parameter" "account" {
  #checkov:skip=CKV2_AWS_34:It holds names, no secrets
  #checkov:skip=CKV_AWS_337:It holds names, no secrets

  name        = local.parameter
  description = "Settings of flowyml-aws for everybody who uses this account"
  type        = "String"
  tags        = local.tags

  value = jsonencode({
    version        = 1
    store          = local.store
    queues         = [for key in sort(keys(local.queues)) : "${local.prefix}-${key}"]
    repository     = local.repository
    job_role       = local.role_arn["job"]
    execution_role = local.role_arn["execution"]
    log_group      = local.log_group
    driver_queue   = "${local.prefix}-cpu"
    driver_role    = local.role_arn["driver"]
    sagemaker_role = local.role_arn["sagemaker"]
  })
}
