variable "name" {
  description = "Prefix of every name, for example converto-production; two environments in one account differ by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and must start with a letter."
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
  description = "Key that encrypts the recovery points."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "resource_arns" {
  description = "What is backed up, for example the ARN of the database cluster."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.resource_arns : can(regex("^arn:", arn)) && !can(regex("^arn:[^:]*:[^:]*:[^:]*:[^:]*:\\*$", arn))])
    error_message = "resource_arns must be ARNs of single resources, not of everything in an account."
  }
}

variable "selection_tag" {
  description = "Tag of further resources to back up; null for none."
  type        = object({ key = string, value = string })
  default     = null

  validation {
    condition     = var.selection_tag != null || length(var.resource_arns) > 0
    error_message = "Give resource_arns or a selection_tag; a plan that backs up nothing is no backup."
  }
}

variable "schedule" {
  description = "When the backup starts, as a cron expression in UTC."
  type        = string
  default     = "cron(15 6 * * ? *)"

  validation {
    condition     = can(regex("^cron\\(.+\\)$", var.schedule))
    error_message = "schedule must be a cron expression, for example cron(15 6 * * ? *)."
  }
}

variable "retention_days" {
  description = "Days for which a recovery point is kept."
  type        = number
  default     = 35

  validation {
    condition     = var.retention_days >= 7
    error_message = "retention_days must be at least 7: damage that is found after a holiday needs older backups."
  }
}

variable "copy_destination" {
  description = "Vault in another region that gets a copy of each recovery point; null for none."
  type        = object({ vault_arn = string, retention_days = number })
  default     = null

  validation {
    condition = var.copy_destination == null || (
      can(regex("^arn:[^:]+:backup:[^:]+:[0-9]{12}:backup-vault:", var.copy_destination.vault_arn)) && try(var.copy_destination.retention_days >= 7, false)
    )
    error_message = "copy_destination needs the ARN of a backup vault and at least 7 days."
  }
}

variable "lock" {
  description = "Vault lock; null for none. With changeable_for_days it becomes final after that many days: nobody, not even AWS, can then delete a recovery point early, remove the lock, or delete the vault. Read the README first."
  type = object({
    min_retention_days  = number
    max_retention_days  = number
    changeable_for_days = optional(number)
  })
  default = null

  validation {
    condition     = var.lock == null || coalesce(try(var.lock.changeable_for_days, null), 3) >= 3
    error_message = "lock.changeable_for_days must be at least 3, or null for a lock that administrators can remove."
  }

  validation {
    condition     = var.lock == null || try(var.lock.min_retention_days <= var.retention_days && var.retention_days <= var.lock.max_retention_days, false)
    error_message = "retention_days must lie between the two limits of the lock, or every backup would fail."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topic that hears of failed backups and copies; a vault takes at most one. Its policy has to admit backup.amazonaws.com."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.alarm_topic_arns) <= 1 && alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[^:]+:sns:", arn))])
    error_message = "alarm_topic_arns must hold the ARN of one SNS topic, or nothing."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` also deletes the recovery points. Only for environments that hold nothing of value."
  type        = bool
  default     = false
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
