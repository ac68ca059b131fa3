variable "name" {
  description = "Name of the installation and environment; every resource name starts with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}

variable "oidc" {
  description = "An OpenID Connect issuer of your own. When it is given, no user pool is made."
  type = object({
    issuer    = string
    audiences = list(string)
    jwks_url  = string
    scopes    = optional(list(string), ["conversions:read", "conversions:write", "admin"])
  })
  default = null

  validation {
    condition     = var.oidc == null || (startswith(try(var.oidc.issuer, ""), "https://") && startswith(try(var.oidc.jwks_url, ""), "https://"))
    error_message = "The issuer and the JWKS address must start with https://."
  }

  validation {
    condition     = var.oidc == null || length(try(var.oidc.audiences, [])) > 0
    error_message = "At least one audience is needed; without one, a token for another application of the issuer would be accepted."
  }
}

variable "domain_prefix" {
  description = "Sign-in page at https://<prefix>.auth.<region>.amazoncognito.com; must be free in the whole region. Null: the name."
  type        = string
  default     = null

  validation {
    condition     = var.domain_prefix == null || can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.domain_prefix))
    error_message = "domain_prefix must be 1 to 63 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = var.domain_prefix == null || !can(regex("aws|amazon|cognito", var.domain_prefix))
    error_message = "Cognito refuses domains that contain aws, amazon or cognito."
  }
}

variable "callback_urls" {
  description = "Where the sign-in page may send a browser back to. Without one, no client for browsers is made."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for url in var.callback_urls : startswith(url, "https://")])
    error_message = "callback_urls must start with https://."
  }
}

variable "logout_urls" {
  description = "Where the sign-out page may send a browser to."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for url in var.logout_urls : startswith(url, "https://")])
    error_message = "logout_urls must start with https://."
  }
}

variable "command_line_ports" {
  description = "Local ports on which a command line program may wait for the sign-in page. Cognito compares the whole address, so they are fixed. Empty: no such client."
  type        = list(number)
  default     = []

  validation {
    condition     = alltrue([for port in var.command_line_ports : port >= 1024 && port <= 65535])
    error_message = "command_line_ports must be 1024 to 65535."
  }
}

variable "machine_clients" {
  description = "Programs that get tokens for themselves (client credentials), each with its scopes. Cognito makes their secrets; they stand in the state."
  type        = map(set(string))
  default     = {}

  validation {
    condition = alltrue(flatten([
      for scopes in values(var.machine_clients) : [for scope in scopes : contains(["conversions:read", "conversions:write", "admin"], scope)]
    ]))
    error_message = "Scopes are conversions:read, conversions:write and admin."
  }

  validation {
    condition     = alltrue([for client in keys(var.machine_clients) : can(regex("^[a-z][a-z0-9-]{0,62}$", client)) && !contains(["web", "command-line"], client)])
    error_message = "Names of machine_clients are lower-case letters, digits and hyphens; web and command-line are the clients for people."
  }

  validation {
    condition     = alltrue([for scopes in values(var.machine_clients) : length(scopes) > 0])
    error_message = "Each machine client needs a scope; Cognito gives it no token without one."
  }
}

variable "user_scopes" {
  description = "Scopes that people may ask for on the sign-in page. Do not add admin unless every user of the pool is an administrator."
  type        = set(string)
  default     = ["conversions:read", "conversions:write"]

  validation {
    condition     = alltrue([for scope in var.user_scopes : contains(["conversions:read", "conversions:write", "admin"], scope)])
    error_message = "Scopes are conversions:read, conversions:write and admin."
  }
}

variable "self_registration" {
  description = "Let everybody make an account. False: administrators make accounts."
  type        = bool
  default     = false
}

variable "mfa" {
  description = "Second factor by an authenticator app: ON for everybody, OPTIONAL by each user's choice."
  type        = string
  default     = "ON"

  validation {
    condition     = contains(["ON", "OPTIONAL"], var.mfa)
    error_message = "mfa must be ON or OPTIONAL."
  }
}

variable "user_pool_tier" {
  description = "Feature plan of the pool. PLUS adds the detection of leaked passwords and unusual sign-ins, at a price per active user."
  type        = string
  default     = "ESSENTIALS"

  validation {
    condition     = contains(["ESSENTIALS", "PLUS"], var.user_pool_tier)
    error_message = "user_pool_tier must be ESSENTIALS or PLUS."
  }
}

variable "access_token_minutes" {
  description = "Validity of an access token. It cannot be revoked before, because services check tokens without asking Cognito."
  type        = number
  default     = 60

  validation {
    condition     = var.access_token_minutes >= 5 && var.access_token_minutes <= 1440
    error_message = "access_token_minutes must be 5 to 1440."
  }
}

variable "refresh_token_days" {
  description = "Days until a user has to sign in again."
  type        = number
  default     = 30

  validation {
    condition     = var.refresh_token_days >= 1 && var.refresh_token_days <= 365
    error_message = "refresh_token_days must be 1 to 365."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the user pool. Set to false in an apply of its own before a destroy."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
