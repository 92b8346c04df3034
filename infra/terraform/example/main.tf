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

variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "Name of the account, for the setting `account` of flowyml-aws."
  type        = string
  default     = "main"
}

variable "families" {
  description = "Same as in the module: `{ cpu = {}, t4 = {}, a10g = { max_vcpus = 48 } }`."
  type        = any
  default     = { cpu = {}, t4 = {} }
}

variable "alert_email" {
  description = "Email address for alerts about failed jobs, blocked queues and the budget; null for none."
  type        = string
  default     = null
}

variable "monthly_budget_usd" {
  description = "Monthly budget of the whole AWS account, with alerts; null for none."
  type        = number
  default     = 100
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete runs and images."
  type        = bool
  default     = false
}

provider "aws" {
  region = var.region
}

module "flowyml" {
  source = "./.."

  name               = var.name
  families           = var.families
  alert_email        = var.alert_email
  monthly_budget_usd = var.monthly_budget_usd
  force_destroy      = var.force_destroy
}

output "flowyml" {
  description = "Outputs of the module."
  value       = module.flowyml
}
