variable "name" {
  description = "Prefix of every name, for example converto-production; two environments in one account differ by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and must start with a letter."
  }
}

variable "repositories" {
  description = "Repositories, for example file-service and rotation; each is named <name>/<repository>."
  type        = set(string)

  validation {
    condition     = length(var.repositories) > 0 && alltrue([for repository in var.repositories : can(regex("^[a-z0-9][a-z0-9-]{1,60}$", repository))])
    error_message = "repositories must be lower-case names without a slash."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the images; null for the key of AWS. It cannot be changed later without making the repositories anew."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "kept_images" {
  description = "Newest tagged images that each repository keeps. An image that still runs must be among them."
  type        = number
  default     = 100

  validation {
    condition     = var.kept_images >= 20 && floor(var.kept_images) == var.kept_images
    error_message = "kept_images must be at least 20: expiring an image that runs breaks scaling and rollback."
  }
}

variable "lambda_repositories" {
  description = "Those of the repositories whose images run as Lambda functions of this account."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.lambda_repositories, var.repositories)) == 0
    error_message = "lambda_repositories must be among the repositories."
  }
}

variable "lambda_function_arns" {
  description = "Functions that may pull from the lambda_repositories, as an ARN pattern of this account."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.lambda_function_arns : can(regex("^arn:[^:]+:lambda:[^:]+:[0-9]{12}:function:", arn))])
    error_message = "lambda_function_arns must be ARNs of functions in one account."
  }

  validation {
    condition     = length(var.lambda_repositories) == 0 || length(var.lambda_function_arns) > 0
    error_message = "lambda_repositories need lambda_function_arns, or every account's Lambda could pull."
  }
}

variable "force_delete" {
  description = "Whether `terraform destroy` also deletes all images."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
