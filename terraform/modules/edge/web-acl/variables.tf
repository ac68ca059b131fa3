variable "name" {
  description = "Name of the web ACL."
  type        = string
}

variable "scope" {
  description = "CLOUDFRONT (the provider must then be of us-east-1) or REGIONAL."
  type        = string

  validation {
    condition     = contains(["CLOUDFRONT", "REGIONAL"], var.scope)
    error_message = "scope must be CLOUDFRONT or REGIONAL."
  }
}

variable "rate_limit" {
  description = "Requests that one address may send within five minutes."
  type        = number
}

variable "forwarded_ip_header" {
  description = "Header with the client's address; null to count by the address of the connection."
  type        = string
  default     = null
}

variable "counted_rules" {
  description = "Rules of AWSManagedRulesCommonRuleSet that only count."
  type        = set(string)
}

variable "log_kms_key_arn" {
  description = "KMS key of the log; null for the key of CloudWatch Logs."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
