variable "name" {
  description = "Name of the installation and environment; every resource name starts with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}

variable "account_id" {
  description = "Account of the secrets; Secrets Manager may call the function for this account only."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have twelve digits."
  }
}

variable "kms_key_arn" {
  description = "Customer managed key that encrypts the secrets."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "log_kms_key_arn" {
  description = "Key that encrypts the log group. CloudWatch Logs must be allowed to use it."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the function's log is kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a retention that CloudWatch Logs offers."
  }
}

variable "rotation_image" {
  description = "Image of the rotation function (deploy/docker/Dockerfile.rotation), in ECR of this region and by digest."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9.-]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}$", var.rotation_image))
    error_message = "rotation_image must be an ECR image by digest: <account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<64 hex digits>."
  }
}

variable "rotation_architecture" {
  description = "Processor that the image was built for."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.rotation_architecture)
    error_message = "rotation_architecture must be arm64 or x86_64."
  }
}

variable "rotation_policy_json" {
  description = "IAM policy of the function: the document `rotation` of the module `policies`."
  type        = string

  validation {
    condition     = can(jsondecode(var.rotation_policy_json).Statement)
    error_message = "rotation_policy_json must be a policy document."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the function's role; null for none."
  type        = string
  default     = null
}

variable "vpc_id" {
  description = "VPC of the function."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the function, from which the database, the broker and the AWS APIs can be reached."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "subnet_ids must name at least one subnet."
  }
}

variable "api_cidr_blocks" {
  description = "Where the function may connect with HTTPS: the VPC where it has interface endpoints for secretsmanager and ecs, 0.0.0.0/0 where it uses the NAT gateway."
  type        = list(string)

  validation {
    condition     = length(var.api_cidr_blocks) > 0 && alltrue([for block in var.api_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "api_cidr_blocks must hold at least one CIDR block."
  }
}

variable "database" {
  description = "The database: outputs of the module `database`, and the name of converto's database in it."
  type = object({
    url               = string
    port              = number
    security_group_id = string
    master_secret_arn = string
    database_name     = optional(string, "converto")
  })

  validation {
    condition     = can(regex("^mongodb://[^@]+tls=true", var.database.url))
    error_message = "database.url must require TLS (tls=true) and hold no credentials."
  }
}

variable "broker" {
  description = "The broker: outputs of the module `broker`."
  type = object({
    url                  = string
    console_url          = string
    security_group_id    = string
    bootstrap_secret_arn = string
  })

  validation {
    condition     = can(regex("^amqps://[^@]+$", var.broker.url)) && can(regex("^https://[^@]+$", var.broker.console_url))
    error_message = "broker.url must start with amqps://, broker.console_url with https://, and both must hold no credentials."
  }
}

variable "ecs_cluster_name" {
  description = "Cluster of the services that read the secrets."
  type        = string
}

variable "services_to_restart" {
  description = "ECS services that read each secret. After a rotation the function starts a new deployment of them."
  type = object({
    database          = list(string)
    broker            = list(string)
    bootstrap_api_key = list(string)
    sealing_key       = list(string)
  })
}

variable "rotation_days" {
  description = "Days between rotations of each secret. Those of database and broker differ, so that they seldom start deployments on the same day. By default 30, 28, 30, 90 and 60."
  type = object({
    database          = optional(number, 30)
    broker            = optional(number, 28)
    broker_bootstrap  = optional(number, 30)
    bootstrap_api_key = optional(number, 90)
    sealing_key       = optional(number, 60)
  })
  default = {}

  validation {
    condition     = alltrue([for days in values(var.rotation_days) : days >= 2 && days <= 90])
    error_message = "Each secret must be rotated every 2 to 90 days. Services need a day to restart before their old user gets a new password."
  }
}

variable "secret_recovery_days" {
  description = "Days for which a deleted secret can be restored; 0 deletes it at once, so that the name is free again."
  type        = number
  default     = 30

  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "secret_recovery_days must be 0 or 7 to 30."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that hear of failed rotations."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
