variable "name" {
  description = "Name of the account: what the setting `account` of flowyml-aws says."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,16}[a-z0-9]$", var.name))
    error_message = "Small letters, digits and hyphens, 2 to 18 of them, a letter first, no hyphen last: it becomes part of a bucket's name."
  }
}

variable "families" {
  description = <<-EOT
    What jobs can run on, by the names of infra/account/families.json. Of each, in place of that file's values:
    capacity: `on-demand`, `spot` or both; each is a queue of its own.
    max_vcpus: of all instances of one such queue together.
    instance_types: EC2 types or families.
    image_id: an image of your own for the instances.
    volume_gib: in place of the variable `volume_gib`.
    labels, taints: as of a Kubernetes node; a taint's value is `[VALUE:]EFFECT`.
  EOT
  type = map(object({
    capacity       = optional(set(string), ["on-demand", "spot"])
    max_vcpus      = optional(number)
    instance_types = optional(list(string))
    image_id       = optional(string)
    volume_gib     = optional(number)
    labels         = optional(map(string), {})
    taints         = optional(map(string), {})
  }))
  default = { cpu = {}, t4 = {} }

  validation {
    condition     = try(contains(var.families["cpu"].capacity, "on-demand"), false)
    error_message = "`cpu` on demand must be among them: steps without a GPU, and drivers of runs on SageMaker, go there."
  }

  validation {
    condition     = alltrue([for f in values(var.families) : length(f.capacity) > 0 && length(setsubtract(f.capacity, ["on-demand", "spot"])) == 0])
    error_message = "capacity is a set of `on-demand` and `spot`."
  }

  validation {
    condition = alltrue(flatten([
      for f in values(var.families) : [for t in values(f.taints) : can(regex("^(.*:)?(NoSchedule|PreferNoSchedule|NoExecute)$", t))]
    ]))
    error_message = "A taint is `[VALUE:]EFFECT`, with the effect NoSchedule, PreferNoSchedule or NoExecute."
  }
}

variable "volume_gib" {
  description = "Size of each instance's disk: its system, images, and what jobs write."
  type        = number
  default     = 100
}

variable "vpc_id" {
  description = "A VPC that is there; null makes one without NAT gateways, which costs nothing."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Of `vpc_id`: where instances go. They must reach AWS's services on port 443."
  type        = list(string)
  default     = []
}

variable "route_table_ids" {
  description = "Of `vpc_id`: those that get the S3 gateway endpoint; none if the VPC has one already."
  type        = list(string)
  default     = []
}

variable "zones" {
  description = "How many availability zones a new VPC has subnets in."
  type        = number
  default     = 3
}

variable "egress_ports" {
  description = "Ports outside that jobs may connect to. AWS's services need 443."
  type        = list(number)
  default     = [443]
}

variable "log_retention_days" {
  description = "How long what jobs print is kept."
  type        = number
  default     = 30
}

variable "capacity_wait_s" {
  description = "How long the first job of a queue waits for an instance before Batch cancels it: 600 to 86400."
  type        = number
  default     = 86400
}

variable "misconfigured_wait_s" {
  description = "The same, where no instance of the queue can ever serve it. Short waits hit queues that start from zero."
  type        = number
  default     = 3600
}

variable "user_principal" {
  description = "ARN of who may take the laptop user's role; null for everybody in this account whose own policies allow it."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "Who is told of failed jobs, stuck queues and the budget; null for nobody yet."
  type        = string
  default     = null
}

variable "monthly_budget_usd" {
  description = "Budget of the whole AWS account that alerts at 80 % and when 100 % are forecast; null for none."
  type        = number
  default     = 100
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete runs and images."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
