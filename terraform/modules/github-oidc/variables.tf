variable "name" {
  description = "Prefix of every name, for example converto-production; two environments in one account differ by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and must start with a letter."
  }
}

variable "repository" {
  description = "Repository whose workflows may take the roles, as owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be owner/name without wildcards; a wildcard would admit strangers."
  }
}

variable "repository_ids" {
  description = "Numbers of the owner and the repository, for repositories whose tokens carry them (repo:owner@1/name@2); null for names only."
  type        = object({ owner = number, repository = number })
  default     = null
}

variable "environments" {
  description = "Environments, for example dev, staging and production. GitHub needs an environment of each name, and one named <name>-plan."
  type        = set(string)

  validation {
    condition     = length(var.environments) > 0 && alltrue([for environment in var.environments : can(regex("^[a-z][a-z0-9]{1,15}$", environment))])
    error_message = "environments must be short lower-case names."
  }
}

variable "plan_policy_json" {
  description = "What the plan role of each environment may do, by environment: read, and lock the state."
  type        = map(string)

  validation {
    condition     = alltrue([for document in values(var.plan_policy_json) : can(jsondecode(document).Statement)])
    error_message = "plan_policy_json must hold policy documents in JSON."
  }

  validation {
    condition     = toset(keys(var.plan_policy_json)) == var.environments
    error_message = "plan_policy_json needs one document for each of the environments."
  }
}

variable "deploy_policy_json" {
  description = "What the deploy role of each environment may do, by environment."
  type        = map(string)

  validation {
    condition     = alltrue([for document in values(var.deploy_policy_json) : can(jsondecode(document).Statement)])
    error_message = "deploy_policy_json must hold policy documents in JSON."
  }

  validation {
    condition     = toset(keys(var.deploy_policy_json)) == var.environments
    error_message = "deploy_policy_json needs one document for each of the environments."
  }
}

variable "boundary_policy_json" {
  description = "The most that any role of an environment may do, by environment: the roles of GitHub, and all roles that they make."
  type        = map(string)

  validation {
    condition     = alltrue([for document in values(var.boundary_policy_json) : can(jsondecode(document).Statement) && length(replace(document, "/\\s/", "")) <= 6144])
    error_message = "boundary_policy_json must hold policy documents in JSON of at most 6,144 characters, the limit of a managed policy."
  }

  validation {
    condition     = toset(keys(var.boundary_policy_json)) == var.environments
    error_message = "boundary_policy_json needs one document for each of the environments."
  }
}

variable "pull_request_environments" {
  description = "Environments whose plan role pull requests may take too. Whoever can push a branch can then read that environment's state."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.pull_request_environments, var.environments)) == 0
    error_message = "pull_request_environments must be among the environments."
  }
}

variable "publish_policy_json" {
  description = "What the role that publishes images may do; null for no such role."
  type        = string
  default     = null

  validation {
    condition     = var.publish_policy_json == null || can(jsondecode(var.publish_policy_json).Statement)
    error_message = "publish_policy_json must be a policy document in JSON."
  }
}

variable "publish_environment" {
  description = "GitHub environment whose jobs may take the role that publishes images."
  type        = string
  default     = "registry"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.publish_environment))
    error_message = "publish_environment must be the name of one environment, without wildcards."
  }
}

variable "provider_arn" {
  description = "The account's OIDC provider of GitHub where it exists already; null to make it. An account can have one only."
  type        = string
  default     = null

  validation {
    condition     = var.provider_arn == null || can(regex("oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.provider_arn))
    error_message = "provider_arn must be the provider of token.actions.githubusercontent.com."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
