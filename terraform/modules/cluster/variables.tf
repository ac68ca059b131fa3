variable "name" {
  description = "Prefix of all names, such as converto-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}


variable "log_kms_key_arn" {
  description = "KMS key of the log of commands that were run in containers, and of their connections."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key."
  }
}

variable "log_retention_days" {
  description = "Days that the log of commands is kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_retention_days)
    error_message = "log_retention_days must be a retention that CloudWatch Logs offers, from 30 days."
  }
}

variable "container_insights" {
  description = "Container Insights: `enhanced` adds metrics per task and costs more than `enabled`."
  type        = string
  default     = "enhanced"

  validation {
    condition     = contains(["enabled", "enhanced"], var.container_insights)
    error_message = "container_insights must be enabled or enhanced."
  }
}

variable "default_on_demand_base" {
  description = "Tasks of a service without a strategy of its own that always run on demand."
  type        = number
  default     = 1

  validation {
    condition     = var.default_on_demand_base >= 0
    error_message = "default_on_demand_base must not be negative."
  }
}

variable "default_spot_weight" {
  description = "Share of Fargate Spot beyond the base, relative to one part on demand; 0 for none. Applies to services without a strategy of their own."
  type        = number
  default     = 0

  validation {
    condition     = var.default_spot_weight >= 0 && var.default_spot_weight <= 1000
    error_message = "default_spot_weight must be between 0 and 1000."
  }
}

variable "ephemeral_storage_kms_key_arn" {
  description = "KMS key of the tasks' own disks, where source files lie while they are converted. Its policy must let fargate.amazonaws.com use it. Null for Fargate's own key."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
