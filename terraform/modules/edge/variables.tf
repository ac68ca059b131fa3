variable "name" {
  description = "Prefix of all names, such as converto-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}



variable "vpc_id" {
  description = "VPC of the load balancer."
  type        = string
}

variable "link_subnet_ids" {
  description = "Private subnets of the VPC link, one per availability zone."
  type        = list(string)

  validation {
    condition     = length(var.link_subnet_ids) >= 2
    error_message = "The VPC link requires subnets in at least two availability zones."
  }
}

variable "load_balancer_arn" {
  description = "ARN of the internal load balancer."
  type        = string
}

variable "load_balancer_security_group_id" {
  description = "Security group of the load balancer, the only place that the VPC link reaches."
  type        = string
}

variable "listener_arn" {
  description = "Production listener of the load balancer."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:elasticloadbalancing:", var.listener_arn))
    error_message = "listener_arn must be the ARN of a listener."
  }
}

variable "server_name" {
  description = "Host name in the load balancer's certificate. The API and CloudFront verify it."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.server_name))
    error_message = "server_name must be a host name in lower case, such as origin.convert.example.org."
  }
}

variable "issuer" {
  description = "Issuer of the JWTs (the `iss` claim). Its /.well-known/openid-configuration must be reachable from the internet."
  type        = string

  validation {
    condition     = can(regex("^https://[^?#]+$", var.issuer))
    error_message = "issuer must be an https URL without query."
  }
}

variable "audiences" {
  description = "Audiences or client ids, one of which a JWT must carry (`aud` or `client_id`)."
  type        = list(string)

  validation {
    condition     = length(var.audiences) > 0
    error_message = "Without an audience any token of the issuer would be accepted, also one that was meant for another application."
  }
}

variable "scopes" {
  description = "Scopes as they stand in the token, one of which a route requires. An empty list leaves the decision to the file service."
  type = object({
    read  = optional(list(string), ["converto/conversions:read"])
    write = optional(list(string), ["converto/conversions:write"])
    admin = optional(list(string), ["converto/admin"])
  })
  default = {}
}

variable "api_keys" {
  description = "`refused`: only JWTs get in. `accepted`: clients with API keys (cvt_…) get in as well; CloudFront sends them by way of a route without authorizer, and the file service checks the key. See README."
  type        = string
  default     = "refused"

  validation {
    condition     = contains(["refused", "accepted"], var.api_keys)
    error_message = "api_keys must be refused or accepted."
  }
}

variable "integration_timeout_ms" {
  description = "Longest time that the API waits for the file service. 30,000 is the most that an HTTP API allows."
  type        = number
  default     = 30000

  validation {
    condition     = var.integration_timeout_ms >= 10000 && var.integration_timeout_ms <= 30000
    error_message = "integration_timeout_ms must be between 10000 and 30000."
  }
}

variable "default_throttle" {
  description = "Requests per second and burst of each route that has no limit of its own in `throttles`. All callers share it."
  type        = object({ rate = number, burst = number })
  default     = { rate = 200, burst = 400 }

  validation {
    condition     = var.default_throttle.rate > 0 && var.default_throttle.burst > 0
    error_message = "rate and burst must be positive."
  }
}

variable "throttles" {
  description = "Limits of single routes by route key, as listed in the output `route_keys`."
  type        = map(object({ rate = number, burst = number }))
  default = {
    "POST /api/v1/conversions"   = { rate = 50, burst = 100 }
    "POST /api/v1/files"         = { rate = 50, burst = 100 }
    "ANY /with-api-key/{proxy+}" = { rate = 100, burst = 200 }
    "GET /api/health"            = { rate = 5, burst = 10 }
    "GET /api/health/{proxy+}"   = { rate = 10, burst = 20 }
  }

  validation {
    condition     = alltrue([for limit in values(var.throttles) : limit.rate > 0 && limit.burst > 0])
    error_message = "rate and burst must be positive."
  }
}

variable "cors_origins" {
  description = "Origins of web pages that may call the API, such as https://app.example.org. None by default."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https://[a-z0-9.-]+(:[0-9]+)?$|^http://localhost(:[0-9]+)?$", origin))])
    error_message = "Each origin must be https://<host> without a path (or http://localhost for development); `*` is refused."
  }
}

variable "domain_name" {
  description = "Host name that clients use; null for the distribution's own name below cloudfront.net."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "ACM certificate of `domain_name`. CloudFront reads certificates from us-east-1 only."
  type        = string
  default     = null

  validation {
    condition     = (var.domain_name == null) == (var.certificate_arn == null)
    error_message = "domain_name and certificate_arn belong together: set both or neither."
  }

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:[a-z-]+:acm:us-east-1:", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate in us-east-1."
  }
}

variable "hosted_zone_id" {
  description = "Route 53 zone in which the alias of `domain_name` is made; null to make it yourself. It must be known when planning."
  type        = string
  default     = null

  validation {
    condition     = var.hosted_zone_id == null || var.domain_name != null
    error_message = "hosted_zone_id requires domain_name."
  }
}

variable "price_class" {
  description = "Where CloudFront answers: PriceClass_100 (Europe, North America), PriceClass_200 or PriceClass_All."
  type        = string
  default     = "PriceClass_100"

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "price_class must be PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}

variable "waf" {
  description = "Web ACLs on CloudFront and on the load balancer. They cost about 20 USD a month together."
  type        = bool
  default     = true
}

variable "rate_limit" {
  description = "Requests that one address may send to CloudFront within five minutes."
  type        = number
  default     = 2000

  validation {
    condition     = var.rate_limit >= 100
    error_message = "rate_limit must be at least 100."
  }
}

variable "load_balancer_rate_limit" {
  description = "Requests that one address may send to the load balancer within five minutes. Requests that came by way of CloudFront and the API carry the address of a CloudFront server, which many clients share, hence more than `rate_limit`."
  type        = number
  default     = 20000

  validation {
    condition     = var.load_balancer_rate_limit >= var.rate_limit
    error_message = "load_balancer_rate_limit must not be below rate_limit."
  }
}

variable "waf_counted_rules" {
  description = "Rules of AWSManagedRulesCommonRuleSet that only count. Those about bodies would refuse what converto is for: lists of parts above 8 KB, and forms with HTML or SVG files."
  type        = set(string)
  default = [
    "SizeRestrictions_BODY",
    "CrossSiteScripting_BODY",
    "GenericRFI_BODY",
    "GenericLFI_BODY",
    "EC2MetaDataSSRF_BODY",
  ]
}

variable "log_kms_key_arn" {
  description = "KMS key of the logs in the region of the deployment."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key."
  }
}

variable "us_east_1_log_kms_key_arn" {
  description = "KMS key of CloudFront's logs, which must be in us-east-1; null for the key of CloudWatch Logs."
  type        = string
  default     = null

  validation {
    condition     = var.us_east_1_log_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:us-east-1:", var.us_east_1_log_kms_key_arn))
    error_message = "us_east_1_log_kms_key_arn must be the ARN of a KMS key in us-east-1."
  }
}

variable "log_retention_days" {
  description = "Days that the logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_retention_days)
    error_message = "log_retention_days must be a retention that CloudWatch Logs offers, from 7 days."
  }
}

variable "alarm_actions" {
  description = "ARNs of SNS topics that the alarms notify."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
