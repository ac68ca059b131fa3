variable "name" {
  description = "Prefix of all names, such as converto-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}

variable "vpc_id" {
  description = "VPC of the load balancer and of its targets."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one per availability zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A load balancer requires subnets in at least two availability zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may reach the production listener, such as that of the API's VPC link. Only their number must be known when planning."
  type        = list(string)
  default     = []
}

variable "cloudfront_prefix_list_id" {
  description = "Managed prefix list com.amazonaws.global.cloudfront.origin-facing, which lets CloudFront's VPC origin reach the production listener; null if there is no VPC origin."
  type        = string
  default     = null

  validation {
    condition     = var.cloudfront_prefix_list_id == null || can(regex("^pl-", var.cloudfront_prefix_list_id))
    error_message = "cloudfront_prefix_list_id must be the id of a prefix list (pl-…)."
  }
}

variable "test_client_security_group_ids" {
  description = "Security groups that may reach the test listener, such as that of the smoke test."
  type        = list(string)
  default     = []
}

variable "certificate_arn" {
  description = "ACM certificate of both listeners. It must be publicly trusted and carry the server name that the edge verifies."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:acm:", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate."
  }
}

variable "ssl_policy" {
  description = "TLS policy of both listeners: TLS 1.2 and 1.3."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  validation {
    condition = contains([
      "ELBSecurityPolicy-TLS13-1-2-2021-06",
      "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
      "ELBSecurityPolicy-TLS13-1-2-PQ-2025-09",
      "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
      "ELBSecurityPolicy-TLS13-1-3-2021-06",
    ], var.ssl_policy)
    error_message = "ssl_policy must be one that refuses everything older than TLS 1.2."
  }
}

variable "access_log_bucket" {
  description = "Bucket of the access logs. Its policy must let the load balancer write below load-balancer/."
  type        = string
}

variable "target_port" {
  description = "Port of the file service (CONVERTO_PORT)."
  type        = number
  default     = 8080

  validation {
    condition     = var.target_port >= 1024 && var.target_port <= 65535
    error_message = "target_port must be between 1024 and 65535: the file service does not run as root."
  }
}

variable "test_port" {
  description = "Port of the test listener, which serves the new version before production traffic does."
  type        = number
  default     = 8443

  validation {
    condition     = var.test_port != 443 && var.test_port >= 1024 && var.test_port <= 65535
    error_message = "test_port must be between 1024 and 65535."
  }
}

variable "health_check_path" {
  description = "Path of the target groups' health check. ECS replaces tasks that fail it, so it must not depend on other servers."
  type        = string
  default     = "/api/health/live"

  validation {
    condition     = contains(["/api/health/live", "/api/health/ready"], var.health_check_path)
    error_message = "health_check_path must be /api/health/live or /api/health/ready."
  }
}

variable "idle_timeout_s" {
  description = "Seconds without a byte after which a connection is closed. Must exceed the pause between two pings of an event stream (CONVERTO_SSE_PING_S, 15 s)."
  type        = number
  default     = 120

  validation {
    condition     = var.idle_timeout_s >= 60 && var.idle_timeout_s <= 4000
    error_message = "idle_timeout_s must be between 60 and 4000."
  }
}

variable "deregistration_delay_s" {
  description = "Seconds that an old task has to finish its requests. Must exceed the longest wait (CONVERTO_MAX_WAIT_S)."
  type        = number
  default     = 30

  validation {
    condition     = var.deregistration_delay_s >= 10 && var.deregistration_delay_s <= 3600
    error_message = "deregistration_delay_s must be between 10 and 3600."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the load balancer. Switch it off and apply before `terraform destroy`."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
