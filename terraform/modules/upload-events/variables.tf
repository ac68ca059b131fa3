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

variable "bucket" {
  description = "Bucket of the objects. The module owns its notifications; S3 keeps one configuration per bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be the name of an S3 bucket."
  }
}

variable "bucket_arn" {
  description = "ARN of that bucket; only its events are admitted."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:s3:::", var.bucket_arn))
    error_message = "bucket_arn must be the ARN of an S3 bucket."
  }
}

variable "visibility_timeout_s" {
  description = "Seconds after which an event that was not acknowledged is delivered again; longer than one confirmation takes."
  type        = number
  default     = 60

  validation {
    condition     = var.visibility_timeout_s >= 10 && var.visibility_timeout_s <= 3600
    error_message = "visibility_timeout_s must be 10 to 3600."
  }
}

variable "max_receive_count" {
  description = "Deliveries after which an event goes to the dead letters."
  type        = number
  default     = 10

  validation {
    condition     = var.max_receive_count >= 3 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be 3 to 1000: fewer would bury events in one short outage of the database."
  }
}

variable "retention_days" {
  description = "Days for which an event waits. The sweeper confirms uploads without events, so days are enough."
  type        = number
  default     = 4

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 14
    error_message = "retention_days must be 1 to 14, the range that SQS accepts."
  }
}

variable "oldest_event_alarm_s" {
  description = "Age of the oldest waiting event, in seconds, from which the alarm goes off."
  type        = number
  default     = 120

  validation {
    condition     = var.oldest_event_alarm_s >= 60
    error_message = "oldest_event_alarm_s must be at least 60, the period of the metric."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that hear of both alarms."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[^:]+:sns:", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics."
  }
}

variable "queue_policy_json" {
  description = "Policy of the queue; null for the module's own: events of the bucket only, TLS only."
  type        = string
  default     = null

  validation {
    condition = var.queue_policy_json == null || (
      can(regex("aws:SecureTransport", var.queue_policy_json)) && can(regex("aws:SourceArn", var.queue_policy_json))
    )
    error_message = "queue_policy_json must refuse requests without TLS and admit the events of one bucket only."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
