variable "name" {
  description = "Prefix of every name, for example converto-production; two environments in one account differ by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and must start with a letter."
  }
}

variable "account_id" {
  description = "Number of the AWS account, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be the 12 digits of an AWS account."
  }
}

variable "partition" {
  description = "Partition of the ARNs: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "partition must be aws, aws-cn or aws-us-gov."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "cors_origins" {
  description = "Web pages that may upload and download in the browser, for example https://converto.example.com."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?$|^http://localhost(:[0-9]+)?$", origin))])
    error_message = "cors_origins are exact https origins without a path (or http://localhost); wildcards are refused."
  }
}

variable "noncurrent_days" {
  description = "Days for which a deleted or overwritten object can still be brought back."
  type        = number
  default     = 7

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 365 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number from 1 to 365."
  }
}

variable "abort_multipart_days" {
  description = "Days after which the parts of an unfinished upload are removed. An upload link lives for less than a day."
  type        = number
  default     = 2

  validation {
    condition     = var.abort_multipart_days >= 1 && var.abort_multipart_days <= 30
    error_message = "abort_multipart_days must be 1 to 30."
  }
}

variable "access_log_days" {
  description = "Days for which access logs of the bucket and of the load balancer are kept."
  type        = number
  default     = 365

  validation {
    condition     = var.access_log_days >= 30
    error_message = "access_log_days must be at least 30; an intrusion is rarely found on the same day."
  }
}

variable "transfer_acceleration" {
  description = "Whether far-away clients may upload through the nearest edge location; costs 0.04 USD and more per GB used."
  type        = bool
  default     = false
}

variable "force_destroy" {
  description = "Whether `terraform destroy` also deletes all objects. Only for environments that hold nothing of value."
  type        = bool
  default     = false
}

variable "bucket_policy_json" {
  description = "Policy of the bucket of the objects, which replaces the module's own; it has to refuse requests without TLS."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_policy_json == null || can(regex("aws:SecureTransport", var.bucket_policy_json))
    error_message = "bucket_policy_json must refuse requests without TLS (aws:SecureTransport)."
  }
}

variable "bucket_policy_statements" {
  description = "Further statements of the bucket's policy, each a statement object in JSON."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for statement in var.bucket_policy_statements : can(jsondecode(statement).Effect)])
    error_message = "Each of bucket_policy_statements must be one policy statement in JSON."
  }
}

variable "replication" {
  description = "Copy of every object to a bucket in another region; null for none. The destination must be versioned."
  type = object({
    destination_bucket_arn  = string
    destination_kms_key_arn = string
  })
  default = null

  validation {
    condition = var.replication == null || (
      can(regex("^arn:[^:]+:s3:::", var.replication.destination_bucket_arn)) &&
      can(regex("^arn:[^:]+:kms:", var.replication.destination_kms_key_arn))
    )
    error_message = "replication needs the ARN of a bucket and the ARN of a KMS key in the other region."
  }
}

variable "permissions_boundary_arn" {
  description = "Most that the role of this module may ever do; the deploy role of GitHub can make roles with it only."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[^:]+:iam::[^:]*:policy/", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a managed policy."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
