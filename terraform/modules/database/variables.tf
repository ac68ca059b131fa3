variable "name" {
  description = "Name of the installation and environment; every resource name starts with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}

variable "vpc_id" {
  description = "VPC of the cluster."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets without a route to the internet, one per availability zone, in at least two zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "DocumentDB needs subnets in at least two availability zones."
  }
}

variable "availability_zones" {
  description = "Zones of the subnets. Instances are spread over them in this order."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones must name at least two different zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect, by a name of the client. The names are known before the groups exist."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.client_security_group_ids) : can(regex("^[a-z0-9-]{1,60}$", name))])
    error_message = "Names in client_security_group_ids become descriptions of rules: lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "Customer managed key that encrypts the storage, the backups and the performance data."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "engine_version" {
  description = "Version of Amazon DocumentDB."
  type        = string
  default     = "5.0.0"

  validation {
    condition     = can(regex("^5\\.0\\.[0-9]+$", var.engine_version))
    error_message = "engine_version must be a release of DocumentDB 5.0; the parameter group belongs to that family."
  }
}

variable "instance_class" {
  description = "Size of each instance."
  type        = string
  default     = "db.r6g.large"

  validation {
    condition     = can(regex("^db\\.(t3|t4g|r[5-9]g?d?)\\.[0-9a-z]+$", var.instance_class))
    error_message = "instance_class must be a DocumentDB instance class, such as db.t4g.medium or db.r6g.large."
  }
}

variable "instance_count" {
  description = "Number of instances: one writer, the others are replicas that take over. Three survive the loss of a zone with a spare."
  type        = number
  default     = 3

  validation {
    condition     = var.instance_count >= 1 && var.instance_count <= 16 && floor(var.instance_count) == var.instance_count
    error_message = "instance_count must be a whole number from 1 to 16."
  }
}

variable "storage_type" {
  description = "`standard` bills I/O by request; `iopt1` costs more per GB and pays off when I/O is above a quarter of the bill."
  type        = string
  default     = "standard"

  validation {
    condition     = contains(["standard", "iopt1"], var.storage_type)
    error_message = "storage_type must be standard or iopt1."
  }
}

variable "backup_retention_days" {
  description = "Days for which the cluster can be restored to any second."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must be 1 to 35."
  }
}

variable "backup_window" {
  description = "Daily window of the snapshot, UTC. Must not overlap maintenance_window."
  type        = string
  default     = "02:00-03:00"

  validation {
    condition     = can(regex("^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$", var.backup_window))
    error_message = "backup_window must look like 02:00-03:00."
  }
}

variable "maintenance_window" {
  description = "Weekly window of changes that need a restart, UTC."
  type        = string
  default     = "sun:04:00-sun:05:00"

  validation {
    condition     = can(regex("^[a-z]{3}:[0-2][0-9]:[0-5][0-9]-[a-z]{3}:[0-2][0-9]:[0-5][0-9]$", var.maintenance_window))
    error_message = "maintenance_window must look like sun:04:00-sun:05:00."
  }
}

variable "apply_immediately" {
  description = "Make changes at once instead of in the maintenance window. A change of size then fails over immediately."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Refuse to delete the cluster. Set to false in an apply of its own before a destroy."
  type        = bool
  default     = true
}

variable "final_snapshot" {
  description = "Take a snapshot named `<name>-final` when the cluster is deleted. It stays, and must be removed before the next destroy."
  type        = bool
  default     = true
}

variable "slow_operation_ms" {
  description = "Operations that take longer are written to the profiler log, in milliseconds."
  type        = number
  default     = 200

  validation {
    condition     = var.slow_operation_ms >= 50
    error_message = "slow_operation_ms must be at least 50, the lowest that DocumentDB accepts."
  }
}

variable "log_retention_days" {
  description = "Days for which the audit log and the profiler log are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a retention that CloudWatch Logs offers."
  }
}

variable "log_kms_key_arn" {
  description = "Key that encrypts the log groups. CloudWatch Logs must be allowed to use it."
  type        = string
}

variable "performance_insights" {
  description = "Record what the instances spend their time on."
  type        = bool
  default     = true
}

variable "ca_file" {
  description = "Path of Amazon's CA bundle inside the images; part of the connection URL."
  type        = string
  default     = "/etc/ssl/certs/amazon-rds.pem"
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
