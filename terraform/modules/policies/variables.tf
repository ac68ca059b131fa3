variable "name" {
  description = "Name of the environment, for example converto-production. Every ARN that a document allows starts with it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "The name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}

variable "account_id" {
  description = "AWS account that holds the environment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "The account id must be 12 digits."
  }
}

variable "region" {
  description = "AWS region of the environment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region must look like eu-central-1."
  }
}

variable "partition" {
  description = "AWS partition of the account: aws, aws-cn or aws-us-gov."
  type        = string
  nullable    = false
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "The partition must be aws, aws-cn or aws-us-gov."
  }
}

variable "bucket" {
  description = "Name of the bucket that holds sources and outputs; null means <name>-objects-<account id>."
  type        = string
  default     = null

  validation {
    condition     = var.bucket == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "The bucket must be a valid bucket name without dots, and no ARN."
  }
}

variable "key_arns" {
  description = "KMS keys by purpose. `objects` encrypts the bucket, `secrets` the secrets, `logs` the log groups, `database` the database and its backups."
  type = object({
    objects  = string
    secrets  = string
    logs     = string
    database = string
  })
  nullable = false

  validation {
    condition     = alltrue([for arn in values(var.key_arns) : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "Each key must be the ARN of a KMS key; an alias does not work in the Resource of a policy."
  }
}

variable "repository_prefix" {
  description = "Image repositories that the environment pulls from start with this path."
  type        = string
  nullable    = false
  default     = "converto/"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]*/$", var.repository_prefix))
    error_message = "The prefix must be one path segment that ends with a slash, so that it cannot mean every repository."
  }
}

variable "database_master_secret_arn" {
  description = "ARN of the secret in which DocumentDB keeps the password of its master user. Null allows the secrets that DocumentDB owns in this account, which is what a first plan knows."
  type        = string
  default     = null
}

variable "longest_signature_age_s" {
  description = "Presigned URLs work no longer than this many seconds, whatever their own expiry says. Keep it above CONVERTO_UPLOAD_URL_TTL_S and CONVERTO_DOWNLOAD_URL_TTL_S."
  type        = number
  nullable    = false
  default     = 3600

  validation {
    condition     = var.longest_signature_age_s >= 60 && var.longest_signature_age_s <= 604800
    error_message = "S3 signs for 1 minute to 7 days (604800 seconds)."
  }
}

variable "delivery" {
  description = "Where Terraform keeps its state, for the documents of the GitHub roles; null leaves those documents out. `state_prefix` is the path of this environment's state in the bucket, `boundary_arn` the permissions boundary that every role of the environment must carry. `environment` is the value of the tag `Environment` on all resources of this one, `neighbours` are the names of the other environments in the account, `hosted_zone_ids` the zones of Route 53 whose records may be changed."
  type = object({
    state_bucket    = string
    state_key_arn   = string
    state_prefix    = string
    boundary_arn    = string
    environment     = string
    neighbours      = optional(set(string), [])
    hosted_zone_ids = optional(set(string), [])
  })
  default = null

  validation {
    condition     = var.delivery == null || can(regex("^[a-z0-9][a-z0-9/_.-]*[a-z0-9]$", var.delivery.state_prefix))
    error_message = "state_prefix must name one path, without a slash at either end, so that an environment cannot reach another one's state."
  }

  validation {
    condition     = var.delivery == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/.+$", var.delivery.boundary_arn))
    error_message = "boundary_arn must be the ARN of a managed policy."
  }

  validation {
    condition     = var.delivery == null || can(regex("^[a-z][a-z0-9-]*$", var.delivery.environment))
    error_message = "environment must be the value of a tag, without a pattern in it."
  }

  validation {
    condition     = var.delivery == null || alltrue([for zone in try(var.delivery.hosted_zone_ids, []) : can(regex("^Z[A-Z0-9]+$", zone))])
    error_message = "hosted_zone_ids must be ids of Route 53, without a pattern in them."
  }
}
