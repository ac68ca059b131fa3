variable "name" {
  description = "Name of the environment, such as converto-production. Every resource name starts with it, so two environments fit into one account."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }

  validation {
    condition     = !can(regex("--|-$|^internal-|^sg-", var.name))
    error_message = "DocumentDB refuses names with two hyphens in a row, load balancers names that end with one or start with internal-, security groups names that start with sg-."
  }
}

variable "account_id" {
  description = "Number of the AWS account, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have twelve digits."
  }
}

variable "region" {
  description = "Region of the environment, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must look like eu-central-1."
  }
}

variable "partition" {
  description = "Partition of the account: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "partition must be aws, aws-cn or aws-us-gov."
  }
}

variable "availability_zones" {
  description = "Three zones of the region. The database and the broker spread over all of them."
  type        = list(string)

  validation {
    condition     = length(distinct(var.availability_zones)) == 3
    error_message = "availability_zones must name three different zones."
  }
}

variable "cidr" {
  description = "IPv4 range of the VPC, /16 to /19. Choose ranges that do not overlap if VPCs may ever be connected."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0))
    error_message = "cidr must be an IPv4 range such as 10.20.0.0/16."
  }
}

variable "nat" {
  description = "NAT gateways: `one` for all zones (without that zone nobody reaches the internet), or `per-az`."
  type        = string

  validation {
    condition     = contains(["one", "per-az"], var.nat)
    error_message = "nat must be one or per-az."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside the VPC. Empty: all of them by way of NAT, which is cheaper and lets workers reach the internet."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.interface_endpoints) == 0 || length(setsubtract(["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sqs"], var.interface_endpoints)) == 0
    error_message = "With endpoints, workers have no way to the internet, so all of ecr.api, ecr.dkr, ecs, logs, secretsmanager and sqs are needed."
  }
}

variable "is_disposable" {
  description = "Everything may be deleted with its contents: no deletion protection, no final snapshot, secrets without recovery. For development; never for records that somebody needs."
  type        = bool
  default     = false
}

variable "images" {
  description = "Images by digest: file-service, rotation and one for each worker (`worker-<key of workers>`)."
  type        = map(string)

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each image must be given by its digest (<repository>@sha256:<64 hex digits>); a tag can be moved."
  }

  validation {
    condition     = length(setsubtract(concat(["file-service", "rotation"], [for worker in keys(var.workers) : "worker-${worker}"]), keys(var.images))) == 0
    error_message = "images must name file-service, rotation and worker-<name> for each worker."
  }
}

variable "architecture" {
  description = "Processor of all images: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64."
  }
}

variable "domain_name" {
  description = "Host name that clients use, such as convert.example.org; null for a name below cloudfront.net."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "ACM certificate of `domain_name`, in us-east-1."
  type        = string
  default     = null
}

variable "hosted_zone_id" {
  description = "Route 53 zone in which the alias of `domain_name` is made; null to make it yourself."
  type        = string
  default     = null
}

variable "origin_name" {
  description = "Host name in the certificate of the internal load balancer, such as origin.convert.example.org. It needs no DNS record."
  type        = string
}

variable "origin_certificate_arn" {
  description = "ACM certificate of `origin_name`, in the region of the environment."
  type        = string
}

variable "api_keys" {
  description = "`refused`: only access tokens (JWT) get in. `accepted`: clients with API keys (cvt_…) too; the file service checks them."
  type        = string
  default     = "refused"

  validation {
    condition     = contains(["refused", "accepted"], var.api_keys)
    error_message = "api_keys must be refused or accepted."
  }
}

variable "cors_origins" {
  description = "Web pages that may call the API and upload to the bucket, such as https://app.example.org."
  type        = list(string)
  default     = []
}

variable "waf" {
  description = "Web ACLs on CloudFront and on the load balancer."
  type        = bool
  default     = true
}

variable "identity" {
  description = "Who may call the API: an OpenID Connect issuer of your own (`oidc`), or a Cognito user pool with these settings. domain_prefix must be free in the whole region (default: <name>-<account id>); machine_clients are programs by name, each with its scopes."
  type = object({
    oidc = optional(object({
      issuer    = string
      audiences = list(string)
      jwks_url  = string
    }))
    domain_prefix      = optional(string)
    callback_urls      = optional(list(string), [])
    logout_urls        = optional(list(string), [])
    command_line_ports = optional(list(number), [8976])
    machine_clients    = optional(map(set(string)), {})
    mfa                = optional(string, "ON")
  })
  default = {}
}

variable "database" {
  description = "Size of DocumentDB."
  type = object({
    instance_class        = string
    instance_count        = number
    storage_type          = optional(string, "standard")
    backup_retention_days = optional(number, 14)
    performance_insights  = optional(bool, true)
  })
}

variable "broker" {
  description = "Size of Amazon MQ for RabbitMQ."
  type = object({
    instance_type   = string
    deployment_mode = string
    engine_version  = optional(string, "4.2")
  })
}

variable "file_service" {
  description = "Size of the file service: CPU units (1024 are one vCPU), memory in MiB, number of ECS tasks."
  type = object({
    cpu       = number
    memory    = number
    min_count = number
    max_count = number
  })
}

variable "workers" {
  description = "Workers by name. Each has the families it takes, CPU units, memory in MiB, conversions at once (slots), memory of one conversion program in MiB, disk in GiB, number of ECS tasks, and how many of them run on demand or on Spot."
  type = map(object({
    families          = set(string)
    cpu               = number
    memory            = number
    slots             = number
    engine_memory_mib = number
    storage_gib       = optional(number, 30)
    min_count         = number
    max_count         = number
    on_demand_base    = optional(number, 1)
    on_demand_weight  = optional(number, 1)
    spot_weight       = optional(number, 0)
  }))

  validation {
    condition     = alltrue([for worker in values(var.workers) : length(setsubtract(worker.families, ["office", "pdf", "image", "video", "audio", "model"])) == 0])
    error_message = "Families are office, pdf, image, video, audio and model."
  }

  validation {
    condition     = alltrue([for worker in values(var.workers) : worker.slots * worker.engine_memory_mib <= worker.memory - 512])
    error_message = "The conversion programs of all slots must fit into the memory, with 512 MiB left for the worker itself."
  }

  validation {
    condition     = length(setsubtract(["office", "pdf", "image", "video", "audio", "model"], flatten([for worker in values(var.workers) : tolist(worker.families)]))) == 0
    error_message = "Each family needs a worker; a conversion of a family without one would wait for ever."
  }
}

variable "container_insights" {
  description = "Metrics of the containers: enabled or enhanced (per container, costs more)."
  type        = string
  default     = "enabled"

  validation {
    condition     = contains(["enabled", "enhanced"], var.container_insights)
    error_message = "container_insights must be enabled or enhanced."
  }
}

variable "transfer_acceleration" {
  description = "Offer uploads by way of the nearest edge location; costs 0.04 to 0.08 USD per GB of those that use it."
  type        = bool
  default     = false
}

variable "replication" {
  description = "Copy of every object to a bucket in another region; null for none."
  type = object({
    destination_bucket_arn  = string
    destination_kms_key_arn = string
  })
  default = null
}

variable "backup" {
  description = "Days for which daily recovery points of the database are kept, a vault in another region for copies, and the vault lock (read the README of `backup` first)."
  type = object({
    retention_days   = optional(number, 35)
    copy_destination = optional(object({ vault_arn = string, retention_days = number }))
    lock = optional(object({
      min_retention_days  = number
      max_retention_days  = number
      changeable_for_days = optional(number)
    }))
  })
  default = {}
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role; null for none. The deploy role that `bootstrap` makes may only make roles that carry it."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 365
}

variable "alarm_emails" {
  description = "Addresses that hear of alarms; each has to confirm once."
  type        = set(string)
}

variable "monthly_budget_usd" {
  description = "Amount per month above which, or above whose forecast, the addresses are told."
  type        = number

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be positive."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
