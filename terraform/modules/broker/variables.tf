variable "name" {
  description = "Name of the installation and environment; every resource name starts with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}

variable "vpc_id" {
  description = "VPC of the broker."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one per availability zone. A single instance uses the first one."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "subnet_ids must name at least one subnet."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect with AMQP, by a name of the client. The names are known before the groups exist."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.client_security_group_ids) : can(regex("^[a-z0-9-]{1,60}$", name))])
    error_message = "Names in client_security_group_ids become descriptions of rules: lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the bootstrap secret. Amazon MQ for RabbitMQ itself encrypts with a key of AWS only."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "engine_version" {
  description = "Version of RabbitMQ. 3.13 has CloudWatch metrics of each queue; 4.x has none and needs an m7g instance."
  type        = string
  default     = "4.2"

  validation {
    condition     = contains(["3.13", "4.2"], var.engine_version)
    error_message = "engine_version must be 3.13 or 4.2, with which converto is tested."
  }
}

variable "instance_type" {
  description = "Size of each node."
  type        = string
  default     = "mq.m7g.large"

  validation {
    condition     = can(regex("^mq\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_type))
    error_message = "instance_type must be an Amazon MQ instance type, such as mq.m7g.large."
  }

  validation {
    condition     = var.engine_version == "3.13" || startswith(var.instance_type, "mq.m7g.")
    error_message = "RabbitMQ 4 runs on mq.m7g instances only."
  }
}

variable "deployment_mode" {
  description = "CLUSTER_MULTI_AZ: three nodes, each queue on all three (quorum). SINGLE_INSTANCE: one node, an outage stops all work until it is back."
  type        = string
  default     = "CLUSTER_MULTI_AZ"

  validation {
    condition     = contains(["CLUSTER_MULTI_AZ", "SINGLE_INSTANCE"], var.deployment_mode)
    error_message = "deployment_mode must be CLUSTER_MULTI_AZ or SINGLE_INSTANCE."
  }

  validation {
    condition     = var.deployment_mode == "SINGLE_INSTANCE" || length(var.subnet_ids) >= 2
    error_message = "A cluster needs subnets in several availability zones."
  }
}

variable "consumer_timeout_ms" {
  description = "A message that is not acknowledged for this long goes back to its queue. Workers acknowledge as soon as they have claimed a conversion, so this need not cover the longest one."
  type        = number
  default     = 1800000

  validation {
    condition     = var.consumer_timeout_ms >= 60000 && var.consumer_timeout_ms <= 2147483647
    error_message = "consumer_timeout_ms must be 60,000 (one minute) to 2,147,483,647. 0 would mean never and is refused."
  }
}

variable "maintenance_window" {
  description = "Weekly start of changes that need a restart, UTC. A cluster restarts one node after the other."
  type = object({
    day_of_week = string
    time_of_day = string
  })
  default = {
    day_of_week = "SUNDAY"
    time_of_day = "05:00"
  }

  validation {
    condition = (
      contains(["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"], var.maintenance_window.day_of_week)
      && can(regex("^[0-2][0-9]:[0-5][0-9]$", var.maintenance_window.time_of_day))
    )
    error_message = "maintenance_window needs a day such as SUNDAY and a time such as 05:00."
  }
}

variable "apply_immediately" {
  description = "Restart for changes at once instead of in the maintenance window."
  type        = bool
  default     = false
}

variable "secret_recovery_days" {
  description = "Days for which the deleted bootstrap secret can be restored; 0 deletes it at once, so that the name is free again."
  type        = number
  default     = 30

  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "secret_recovery_days must be 0 or 7 to 30."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
