# All variables of the module, which documents them; null for the module's default.
variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "families" {
  description = "Same as in the module."
  type        = any
  default     = null
}

variable "volume_gib" {
  description = "Same as in the module."
  type        = number
  default     = null
}

variable "vpc_id" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "route_table_ids" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "zones" {
  description = "Same as in the module."
  type        = number
  default     = null
}

variable "nodes_way_out" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "nodes_zone" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "nodes_subnet_id" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "egress_ports" {
  description = "Same as in the module."
  type        = list(number)
  default     = null
}

variable "image_repositories" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "sagemaker_subnet_ids" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "secret_arns" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "data_buckets" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "sagemaker_kms_key_arns" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "debug_shell" {
  description = "Same as in the module."
  type        = bool
  default     = null
}

variable "step_role_arns" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "efs_file_system_arns" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "notice_arns" {
  description = "Same as in the module."
  type        = list(string)
  default     = null
}

variable "schedules" {
  description = "Same as in the module."
  type        = bool
  default     = null
}

variable "remote_builds" {
  description = "Same as in the module."
  type        = bool
  default     = null
}

variable "cost_explorer" {
  description = "Same as in the module."
  type        = bool
  default     = null
}

variable "log_retention_days" {
  description = "Same as in the module."
  type        = number
  default     = null
}

variable "capacity_wait_s" {
  description = "Same as in the module."
  type        = number
  default     = null
}

variable "misconfigured_wait_s" {
  description = "Same as in the module."
  type        = number
  default     = null
}

variable "user_principal" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "Same as in the module."
  type        = string
  default     = null
}

variable "monthly_budget_usd" {
  description = "Same as in the module; null for no budget."
  type        = number
  default     = 100
}

variable "force_destroy" {
  description = "Same as in the module."
  type        = bool
  default     = null
}

variable "tags" {
  description = "Same as in the module."
  type        = map(string)
  default     = null
}
