variable "name" {
  description = "Prefix of every name, for example converto-production; two environments in one account differ by it."
  type        = string

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

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "partition must be aws, aws-cn or aws-us-gov."
  }
}

variable "cidr" {
  description = "IPv4 range of the VPC, /16 to /19: each zone gets a sixteenth for private, 1/256 for public and for data subnets."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/1[6-9]$", var.cidr))
    error_message = "cidr must be an IPv4 range between /16 and /19, for example 10.20.0.0/16."
  }

  validation {
    condition     = can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.)", var.cidr))
    error_message = "cidr must be a private range of RFC 1918; a public one would hide a part of the internet."
  }
}

variable "availability_zones" {
  description = "Three zones, for example eu-central-1a, b and c. The database and the broker spread over all of them."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) == 3 && length(distinct(var.availability_zones)) == 3
    error_message = "availability_zones must name three different zones."
  }
}

variable "nat" {
  description = "NAT gateways: one for all zones (cheap, and without that zone nobody reaches the internet), or per-az."
  type        = string

  validation {
    condition     = contains(["one", "per-az"], var.nat)
    error_message = "nat must be one or per-az."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside the VPC, for example ecr.api, ecr.dkr, logs, secretsmanager, sqs, kms."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z][a-z0-9.-]*$", service)) && service != "s3"])
    error_message = "interface_endpoints are short service names such as ecr.api; s3 always has its free gateway endpoint."
  }
}

variable "s3_endpoint_policy_json" {
  description = "Policy of the S3 endpoint; null for the module's own: the buckets of this environment and the image layers of ECR."
  type        = string
  default     = null

  validation {
    condition     = var.s3_endpoint_policy_json == null || can(jsondecode(var.s3_endpoint_policy_json).Statement)
    error_message = "s3_endpoint_policy_json must be a policy document in JSON."
  }
}

variable "flow_logs_policy_json" {
  description = "What the role of the flow logs may do; null for the module's own: write to its log group."
  type        = string
  default     = null

  validation {
    condition     = var.flow_logs_policy_json == null || can(jsondecode(var.flow_logs_policy_json).Statement)
    error_message = "flow_logs_policy_json must be a policy document in JSON."
  }
}

variable "log_kms_key_arn" {
  description = "Key of the log group of the flow logs; it has to admit CloudWatch Logs."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key."
  }
}

variable "flow_logs_retention_days" {
  description = "Days for which flow logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.flow_logs_retention_days)
    error_message = "flow_logs_retention_days must be a period that CloudWatch Logs offers, at least 30."
  }
}

variable "permissions_boundary_arn" {
  description = "Most that the role of this module may ever do; the deploy role of GitHub can make roles with it only."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[^:]+:iam::[^:]*:policy/", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a managed policy."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the default tags of the provider."
  type        = map(string)
  default     = {}
}
