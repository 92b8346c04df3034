variable "name" {
  description = "Name of the account, for the setting `account` of flowyml-aws."
  type        = string
  default     = "main"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,16}[a-z0-9]$", var.name))
    error_message = "The name must have 2 to 18 characters (lower-case letters, digits and hyphens; a letter first, no hyphen last), as a bucket's name contains it."
  }
}

variable "families" {
  description = <<-EOT
    Instance families for jobs, by their names in infra/account/families.json. Options of each, which override the values of that file:
    capacity: any of `on-demand`, `spot` and `nodes`; each has a separate queue. `nodes` is for jobs on several instances (on demand, in a private subnet), which cost money also while no job runs: see `nodes_way_out`.
    efa: number of Elastic Fabric Adapters of each instance for `nodes`, which must be in `capacity`. Its queue has only types with as many. 1 is possible on all types with EFA; more are on one network card each: 4 on p4d.24xlarge, 32 on p5.48xlarge.
    max_vcpus: limit of the vCPUs of all instances of one compute environment together. Larger types of the file are left out.
    sizes: up to three lists of EC2 instance types, in the order in which Batch tries them; each is one compute environment. No families: Batch prefers their large sizes.
    nodes_sizes: the same for `nodes`, which must be in `capacity`; `sizes` by default.
    image_id: custom image for the instances.
    volume_gib: disk size; overrides the variable `volume_gib`. One job can use 20 GiB less.
    fair_share: whether its queues have a fair-share scheduling policy, for the priorities of steps (`priority=`). Batch can't add one to an existing queue: remove the family first, or enable it for a new one.
    fsx_file_systems: file systems of FSx for Lustre that its instances mount, for `mounts=[FSx(…)]` of steps: ids and mount names. Jobs may read and write them. They are in the same region, and accept ports 988 and 1018 to 1023 from the instances. An instance that can't mount one takes no jobs.
    labels, taints: as of a Kubernetes node; a taint's value is `[VALUE:]EFFECT`.
  EOT
  type = map(object({
    capacity         = optional(set(string), ["on-demand", "spot"])
    efa              = optional(number, 0)
    max_vcpus        = optional(number)
    sizes            = optional(list(list(string)))
    nodes_sizes      = optional(list(list(string)))
    image_id         = optional(string)
    volume_gib       = optional(number)
    fair_share       = optional(bool, false)
    fsx_file_systems = optional(list(object({ id = string, mount_name = string })), [])
    labels           = optional(map(string), {})
    taints           = optional(map(string), {})
  }))
  default  = { cpu = {}, t4 = {} }
  nullable = false

  validation {
    condition     = try(contains(var.families["cpu"].capacity, "on-demand"), false)
    error_message = "families must contain `cpu` with on-demand capacity: it runs steps without a GPU, and drivers of runs on SageMaker."
  }

  validation {
    condition     = alltrue([for f in values(var.families) : length(f.capacity) > 0 && length(setsubtract(f.capacity, ["on-demand", "spot", "nodes"])) == 0])
    error_message = "capacity must be a set of `on-demand`, `spot` and `nodes`, and not empty."
  }

  validation {
    condition     = alltrue([for f in values(var.families) : f.efa >= 0 && f.efa == floor(f.efa)])
    error_message = "efa must be a number of Elastic Fabric Adapters, such as 1."
  }

  validation {
    condition     = alltrue([for f in values(var.families) : contains(f.capacity, "nodes") || (f.efa == 0 && f.nodes_sizes == null)])
    error_message = "efa and nodes_sizes require `nodes` in `capacity`: they are for jobs on several instances."
  }

  validation {
    condition     = alltrue([for f in values(var.families) : coalesce(f.volume_gib, 30) >= 30])
    error_message = "volume_gib must be at least 30: ECS's images need it."
  }

  validation {
    condition = alltrue([
      for sizes in concat([for f in values(var.families) : f.sizes], [for f in values(var.families) : f.nodes_sizes]) : sizes == null ? true : (
        length(sizes) >= 1 && length(sizes) <= 3 && alltrue([for types in sizes : length(types) > 0]) &&
        alltrue([for type in flatten(sizes) : can(regex("^[a-z0-9-]+[.][a-z0-9-]+$", type))])
      )
    ])
    error_message = "sizes and nodes_sizes must be one to three lists of instance types such as g4dn.xlarge. Families such as g4dn are not allowed: Batch prefers their large sizes."
  }

  # A shell script contains them. SageMaker's API reference has the pattern of a mount name: ClusterFsxLustreConfig.
  validation {
    condition = alltrue([for f in values(var.families) : length(distinct(f.fsx_file_systems[*].id)) == length(f.fsx_file_systems) && alltrue([
      for s in f.fsx_file_systems : can(regex("^fs-[0-9a-f]{8,40}$", s.id)) && can(regex("^[A-Za-z0-9_-]{1,8}$", s.mount_name))
    ])])
    error_message = "fsx_file_systems must be different file systems such as { id = \"fs-0123456789abcdef0\", mount_name = \"abcdefgh\" }: the id and the mount name that FSx shows."
  }

  validation {
    condition = alltrue(flatten([
      for f in values(var.families) : [for t in values(f.taints) : can(regex("^(.*:)?(NoSchedule|PreferNoSchedule|NoExecute)$", t))]
    ]))
    error_message = "A taint's value must be `[VALUE:]EFFECT`, with the effect NoSchedule, PreferNoSchedule or NoExecute."
  }
}

variable "volume_gib" {
  description = "Disk size of each instance in GiB, for its system, images, and files of jobs; one job can use 20 GiB less. Containers are on local NVMe disks instead if the instance type has some."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.volume_gib >= 30
    error_message = "volume_gib must be at least 30: ECS's images need it."
  }
}

variable "vpc_id" {
  description = "Existing VPC; null creates one without NAT gateways, which costs nothing."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Subnets of `vpc_id` for the instances; they must reach AWS's services on port 443."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "route_table_ids" {
  description = "Route tables of `vpc_id` that get the S3 gateway endpoint; empty if the VPC already has one."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "zones" {
  description = "Number of availability zones in which a new VPC has subnets; null for all of the region. Subnets are free, and each zone has capacity of its own."
  type        = number
  default     = null

  validation {
    condition     = coalesce(var.zones, 2) >= 1 && coalesce(var.zones, 2) <= 15
    error_message = "zones must be between 1 and 15: so many subnets fit into the VPC, next to that of nodes."
  }
}

variable "nodes_way_out" {
  description = "Way of jobs on several instances to AWS's services, if a family has the capacity `nodes`: `nat` (a NAT gateway: about $33 a month in us-east-1 and $0.045 per GB, with the internet) or `endpoints` (six interface endpoints, with `secret_arns` eight: about $7.30 a month each and $0.01 per GB, without the internet). Data in S3 is free with both. Not used with `vpc_id`."
  type        = string
  default     = "nat"
  nullable    = false

  validation {
    condition     = contains(["nat", "endpoints"], var.nodes_way_out)
    error_message = "nodes_way_out must be `nat` or `endpoints`."
  }
}

variable "nodes_zone" {
  description = "Availability zone of jobs on several instances, such as us-east-1b; null for the first one. EC2 offers large GPU types in some zones only. Not used with `vpc_id`."
  type        = string
  default     = null
}

variable "nodes_subnet_id" {
  description = "Private subnet of `vpc_id` for jobs on several instances. It must reach AWS's services on port 443 through a NAT gateway or interface endpoints: these jobs get no public address."
  type        = string
  default     = null
}

variable "egress_ports" {
  description = "Remote ports that jobs may connect to, over TCP. AWS's services and package indexes need 443; for example, git over ssh needs 22, PostgreSQL 5432, NFS and EFS 2049."
  type        = list(number)
  default     = [443]
  nullable    = false
}

variable "image_repositories" {
  description = "ARNs of more ECR repositories, also of other accounts and regions, whose images jobs may use. A repository of another account must allow it as well."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.image_repositories : can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", arn))])
    error_message = "image_repositories must be ARNs such as arn:aws:ecr:us-east-1:763104351884:repository/pytorch-training."
  }
}

variable "sagemaker_subnet_ids" {
  description = "Subnets in which training jobs may run: those of the setting `sagemaker_subnets`. They add permissions for network interfaces to the role of training jobs."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.sagemaker_subnet_ids : can(regex("^subnet-[0-9a-z]+$", id))])
    error_message = "sagemaker_subnet_ids must be ids such as subnet-0a1b2c3d."
  }
}

variable "secret_arns" {
  description = "ARNs of secrets in AWS Secrets Manager and of SSM parameters that jobs may read with `secrets=`. A customer managed key must allow the roles to decrypt."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_arns : can(regex("^arn:[a-z-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/).+$", arn))])
    error_message = "secret_arns must be ARNs such as arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf or arn:aws:ssm:us-east-1:123456789012:parameter/token."
  }
}

variable "data_buckets" {
  description = "Names of buckets that users may list and jobs may read, for inputs such as `S3Prefix(\"s3://BUCKET/data/\")`. A bucket of another account must allow it as well, and so must a customer managed key."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for bucket in var.data_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "data_buckets must be names of buckets such as team-data, without s3:// and without a prefix."
  }
}

variable "sagemaker_kms_key_arns" {
  description = "KMS keys that training jobs may use: those of the settings `sagemaker_volume_kms_key` and `sagemaker_output_kms_key`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.sagemaker_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "sagemaker_kms_key_arns must be ARNs such as arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d, not aliases."
  }
}

variable "debug_shell" {
  description = "Whether users may open shells in their running jobs: `flowyml-aws shell`, for runs that were started with `--debug-shell`."
  type        = bool
  default     = false
  nullable    = false
}

variable "step_role_arns" {
  description = "ARNs of roles that steps may name with `role=`: users and drivers may pass them to jobs, with all of their permissions."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.step_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", arn))])
    error_message = "step_role_arns must be ARNs such as arn:aws:iam::123456789012:role/training, without wildcards."
  }
}

variable "efs_file_system_arns" {
  description = "ARNs of file systems of EFS that jobs may mount and write with `mounts=[EFS(…)]`. They also need port 2049 in `egress_ports`, and mount targets that accept it from the instances."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.efs_file_system_arns : can(regex("^arn:[a-z-]+:elasticfilesystem:[a-z0-9-]+:[0-9]{12}:file-system/fs-[0-9a-f]+$", arn))])
    error_message = "efs_file_system_arns must be ARNs such as arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-0123456789abcdef0."
  }
}

variable "notice_arns" {
  description = "ARNs of what notices of the end of runs need: topics of SNS, event buses, and the secrets or SSM parameters with the URLs of webhooks. Users and drivers may publish to them and read them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.notice_arns : can(regex("^arn:[a-z-]+:(sns:[a-z0-9-]+:[0-9]{12}:[^*]|events:[a-z0-9-]+:[0-9]{12}:event-bus/|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/).+$", arn))])
    error_message = "notice_arns must be ARNs such as arn:aws:sns:us-east-1:123456789012:runs, arn:aws:events:us-east-1:123456789012:event-bus/default or arn:aws:ssm:us-east-1:123456789012:parameter/webhook."
  }
}

variable "schedules" {
  description = "Whether users may create schedules of EventBridge Scheduler, which submit small jobs to the queue of drivers."
  type        = bool
  default     = false
  nullable    = false
}

variable "remote_builds" {
  description = "Whether users may build images with a project of CodeBuild: `flowyml-aws image build --remote`. A build costs about $0.01 per minute."
  type        = bool
  default     = false
  nullable    = false
}

variable "cost_explorer" {
  description = "Whether users may read the billed costs of the whole AWS account, for `flowyml-aws costs --billed`. Each request costs $0.01."
  type        = bool
  default     = false
  nullable    = false
}

variable "log_retention_days" {
  description = "Retention of job logs, in days."
  type        = number
  default     = 30
  nullable    = false
}

variable "capacity_wait_s" {
  description = "Maximum seconds that the first job of a queue waits for an instance before Batch cancels it: 600 to 86400."
  type        = number
  default     = 86400
  nullable    = false
}

variable "misconfigured_wait_s" {
  description = "The same for a job that no instance of the queue can ever run. A short limit also cancels jobs in queues that start from zero instances."
  type        = number
  default     = 3600
  nullable    = false
}

variable "user_principal" {
  description = "ARN of the principal that may assume the user role; null for all principals of this account whose own policies allow it."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "Email address for alerts about failed jobs, blocked queues and the budget; null for none."
  type        = string
  default     = null
}

variable "monthly_budget_usd" {
  description = "Monthly budget of the whole AWS account, with alerts at 80 % and at a forecast of 100 %; null for none."
  type        = number
  default     = 100
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete runs and images."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false
}
