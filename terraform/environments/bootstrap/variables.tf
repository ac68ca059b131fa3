variable "name" {
  description = "Prefix of every name. An environment is called <name>-<environment>."
  type        = string
  default     = "converto"

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

variable "region" {
  description = "Region of the resources, for example eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the code of an AWS region, for example eu-central-1."
  }
}

variable "partition" {
  description = "Partition of the ARNs: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "partition must be aws, aws-cn or aws-us-gov."
  }
}

variable "repository" {
  description = "Repository whose workflows deploy, as owner/name."
  type        = string
}

variable "repository_ids" {
  description = "Numbers of the owner and the repository where the tokens of GitHub carry them; null for names only."
  type        = object({ owner = number, repository = number })
  default     = null
}

variable "environments" {
  description = "Environments of this account."
  type        = set(string)
  default     = ["dev", "staging", "production"]

  validation {
    condition     = length(setintersection(var.environments, ["bootstrap", "state"])) == 0
    error_message = "bootstrap and state are taken: by this folder's state and by the bucket of the state."
  }

  # The roles of `dev` reach everything that starts with <name>-dev-.
  validation {
    condition     = alltrue([for one in var.environments : alltrue([for other in var.environments : !startswith(other, "${one}-")])])
    error_message = "No environment may be called like another one followed by a hyphen: the roles of the shorter name would reach both."
  }
}

variable "hosted_zone_ids" {
  description = "Zones of Route 53, by environment, whose records its deploy role may change: the zone of `hosted_zone_id` where an environment sets one. None by default."
  type        = map(set(string))
  nullable    = false
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.hosted_zone_ids), var.environments)) == 0
    error_message = "hosted_zone_ids names an environment that this account does not have."
  }
}

variable "pull_request_environments" {
  description = "Environments that pull requests may plan; their state becomes readable for everybody who can push a branch."
  type        = set(string)
  default     = []
}

variable "github_provider_arn" {
  description = "The account's OIDC provider of GitHub where another project made it already; null to make it."
  type        = string
  default     = null
}

variable "repositories" {
  description = "Image repositories of the account."
  type        = set(string)
  default     = ["file-service", "worker-office", "worker-image", "worker-media", "worker-model", "rotation"]
}

variable "monthly_limit_usd" {
  description = "What a month may cost in the whole account, in US dollars."
  type        = number
}

variable "emails" {
  description = "Addresses that hear when the month becomes expensive."
  type        = list(string)
}

variable "state_version_days" {
  description = "Days for which an old version of a state is kept."
  type        = number
  default     = 365

  validation {
    condition     = var.state_version_days >= 90
    error_message = "state_version_days must be at least 90; a damaged state may be found late."
  }
}

variable "plan_days" {
  description = "Days for which the file of a plan is kept. A plan is applied within hours, and it holds the state."
  type        = number
  default     = 7

  validation {
    condition     = var.plan_days >= 1 && var.plan_days <= 30
    error_message = "plan_days must be 1 to 30."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
