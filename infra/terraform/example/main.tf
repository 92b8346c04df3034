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
  description = "Name of the account: what the setting `account` of flowyml-aws says."
  type        = string
  default     = "main"
}

variable "families" {
  description = "As the module's: `{ cpu = {}, t4 = {}, a10g = { max_vcpus = 48 } }`."
  type        = any
  default     = { cpu = {}, t4 = {} }
}

variable "alert_email" {
  description = "Who is told of failed jobs, stuck queues and the budget."
  type        = string
  default     = null
}

variable "monthly_budget_usd" {
  description = "Budget of the whole AWS account that alerts; null for none."
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
  description = "What was made."
  value       = module.flowyml
}
