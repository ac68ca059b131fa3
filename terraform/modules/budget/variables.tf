variable "name" {
  description = "Prefix of every name, for example converto-production; two environments in one account differ by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and must start with a letter."
  }
}

variable "account_id" {
  description = "Account whose costs are counted; null for that of the provider."
  type        = string
  default     = null

  validation {
    condition     = var.account_id == null || can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be the 12 digits of an AWS account."
  }
}

variable "monthly_limit_usd" {
  description = "What a month may cost, in US dollars."
  type        = number

  validation {
    condition     = var.monthly_limit_usd > 0
    error_message = "monthly_limit_usd must be more than 0."
  }
}

variable "emails" {
  description = "Addresses that hear when the month becomes expensive; AWS allows ten."
  type        = list(string)

  validation {
    condition     = length(var.emails) >= 1 && length(var.emails) <= 10 && alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "emails must be 1 to 10 addresses; a budget that nobody hears of is none."
  }
}

variable "cost_tags" {
  description = "Count only resources with these tags, as tag to values, for example Environment = [\"production\"]; they must be cost allocation tags. Empty for the whole account."
  type        = map(list(string))
  default     = {}
}

variable "alarm_topic_arns" {
  description = "SNS topics that hear of it too."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[^:]+:sns:", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics."
  }
}

variable "actual_thresholds" {
  description = "Percentages of the limit that were spent."
  type        = list(number)
  default     = [50, 80, 100]

  validation {
    condition     = length(var.actual_thresholds) >= 1 && length(var.actual_thresholds) <= 4 && alltrue([for threshold in var.actual_thresholds : threshold > 0])
    error_message = "actual_thresholds must be 1 to 4 percentages; AWS allows five notifications, and one is the forecast."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
