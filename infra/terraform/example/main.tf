# An account with CPUs and T4 GPUs. Copy this folder, change `source`, and keep the state somewhere safe.
terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

module "flowyml" {
  source = "./.."

  name                   = var.name
  families               = var.families
  volume_gib             = var.volume_gib
  vpc_id                 = var.vpc_id
  subnet_ids             = var.subnet_ids
  route_table_ids        = var.route_table_ids
  zones                  = var.zones
  nodes_way_out          = var.nodes_way_out
  nodes_zone             = var.nodes_zone
  nodes_subnet_id        = var.nodes_subnet_id
  egress_ports           = var.egress_ports
  image_repositories     = var.image_repositories
  sagemaker_subnet_ids   = var.sagemaker_subnet_ids
  sagemaker_kms_key_arns = var.sagemaker_kms_key_arns
  secret_arns            = var.secret_arns
  data_buckets           = var.data_buckets
  step_role_arns         = var.step_role_arns
  efs_file_system_arns   = var.efs_file_system_arns
  notice_arns            = var.notice_arns
  schedules              = var.schedules
  remote_builds          = var.remote_builds
  cost_explorer          = var.cost_explorer
  debug_shell            = var.debug_shell
  log_retention_days     = var.log_retention_days
  capacity_wait_s        = var.capacity_wait_s
  misconfigured_wait_s   = var.misconfigured_wait_s
  user_principal         = var.user_principal
  alert_email            = var.alert_email
  monthly_budget_usd     = var.monthly_budget_usd
  force_destroy          = var.force_destroy
  tags                   = var.tags
}

output "flowyml" {
  description = "Outputs of the module."
  value       = module.flowyml
}
