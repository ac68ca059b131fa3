variable "region" {
  description = "Region of the environment, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must look like eu-central-1."
  }
}

variable "availability_zones" {
  description = "Three zones of the region."
  type        = list(string)

  validation {
    condition     = length(distinct(var.availability_zones)) == 3
    error_message = "availability_zones must name three different zones."
  }
}

variable "images" {
  description = "Images of the release by digest; the workflow `images` prints them."
  type        = map(string)

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each image must be given by its digest (<repository>@sha256:<64 hex digits>); a tag can be moved."
  }
}

variable "domain_name" {
  description = "Host name that clients use; null for a name below cloudfront.net."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "ACM certificate of domain_name, in us-east-1."
  type        = string
  default     = null
}

variable "hosted_zone_id" {
  description = "Route 53 zone in which the alias of domain_name is made; null to make it yourself."
  type        = string
  default     = null
}

variable "origin_name" {
  description = "Host name in the certificate of the internal load balancer. It needs no DNS record."
  type        = string
}

variable "origin_certificate_arn" {
  description = "ACM certificate of origin_name, in the region of the environment."
  type        = string
}

variable "alarm_emails" {
  description = "Addresses that hear of alarms and of the budget; each has to confirm once."
  type        = set(string)

  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "Somebody has to hear of alarms."
  }
}

variable "identity" {
  description = "An OpenID Connect issuer of your own (oidc), or settings of the Cognito user pool: domain_prefix must be free in the whole region (default: <name>-<account id>), machine_clients are programs by name, each with its scopes."
  type = object({
    oidc = optional(object({
      issuer    = string
      audiences = list(string)
      jwks_url  = string
    }))
    domain_prefix      = optional(string)
    callback_urls      = optional(list(string), [])
    logout_urls        = optional(list(string), [])
    command_line_ports = optional(list(number), [8976])
    machine_clients    = optional(map(set(string)), {})
    mfa                = optional(string, "ON")
  })
  default = {}
}

variable "cors_origins" {
  description = "Web pages that may call the API and upload, such as https://app.example.org."
  type        = list(string)
  default     = []
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role, an output of `bootstrap`; null when you apply by hand without it."
  type        = string
  default     = null
}
