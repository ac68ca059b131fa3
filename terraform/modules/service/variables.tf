variable "name" {
  description = "Prefix of all names, such as converto-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and hyphens, and start with a letter."
  }
}


variable "service" {
  description = "Name of the service: file-service, worker-office, worker-image, worker-media, worker-model or housekeeping."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z-]{2,20}$", var.service))
    error_message = "service must be 3 to 21 lower-case letters and hyphens."
  }
}

variable "kind" {
  description = "`api` is reached by the load balancer and replaced blue/green; `worker` consumes the broker and is replaced task by task; `housekeeping` is run by a schedule."
  type        = string

  validation {
    condition     = contains(["api", "worker", "housekeeping"], var.kind)
    error_message = "kind must be api, worker or housekeeping."
  }
}

variable "image" {
  description = "Image by digest, such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/file-service@sha256:…"
  type        = string

  validation {
    condition     = can(regex("^[^:@\\s]+(:[0-9]+/[^:@\\s]+)?@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be named by its digest (…@sha256:<64 hex digits>), not by a tag, which can be moved."
  }
}

variable "architecture" {
  description = "Processor architecture of the tasks. ARM64 costs 20 % less, but the worker images exist for X86_64 only: f3d, which renders models, publishes no ARM64 wheel."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64."
  }
}

variable "cpu" {
  description = "CPU units of a task; 1024 are one core."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu must be a size that Fargate offers: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory" {
  description = "Memory of a task in MiB. Fargate allows 2 to 8 GiB per core."
  type        = number

  validation {
    condition     = var.memory >= 512 && var.memory <= 122880 && var.memory >= 2 * var.cpu && var.memory <= 8 * var.cpu
    error_message = "memory must be between 2 and 8 times cpu."
  }
}

variable "ephemeral_storage_gib" {
  description = "Disk of a task, which holds /tmp and the folders of running conversions. 20 is Fargate's minimum and costs nothing extra."
  type        = number
  default     = 20

  validation {
    condition     = var.ephemeral_storage_gib >= 20 && var.ephemeral_storage_gib <= 200
    error_message = "ephemeral_storage_gib must be between 20 and 200."
  }
}

variable "environment" {
  description = "Settings (CONVERTO_…) that are not secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for variable in keys(var.environment) : can(regex("^[A-Z][A-Z0-9_]*$", variable))])
    error_message = "Names of environment variables must be upper-case letters, digits and underscores."
  }

  validation {
    condition     = !anytrue([for variable in keys(var.environment) : can(regex("PASSWORD|SECRET|API_KEY|ACCESS_KEY", variable))])
    error_message = "Secrets belong in `secrets`: whoever may read task definitions reads `environment`."
  }

  validation {
    condition     = !anytrue([for text in values(var.environment) : can(regex("://[^/@\\s]*:[^/@\\s]*@", text))])
    error_message = "A URL in `environment` must not contain a password. Give user and password as settings of their own in `secrets`."
  }
}

variable "secrets" {
  description = "Environment variables by reference: name → ARN of a secret, optionally with `:<JSON key>::`."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for reference in values(var.secrets) : can(regex("^arn:[a-z-]+:secretsmanager:", reference))])
    error_message = "Each value of secrets must be the ARN of a secret in Secrets Manager, never the secret itself."
  }
}

variable "region" {
  description = "Region of the log group."
  type        = string
}

variable "account_id" {
  description = "Account in which ECS and EventBridge Scheduler may assume the roles."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "partition" {
  description = "Partition of ARNs: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}

variable "task_policy_json" {
  description = "IAM policy of the containers: a document of the policies module."
  type        = string

  validation {
    condition     = can(jsondecode(var.task_policy_json).Statement)
    error_message = "task_policy_json must be an IAM policy document."
  }
}

variable "execution_policy_json" {
  description = "IAM policy with which ECS pulls the image, reads the secrets and writes the log: a document of the policies module."
  type        = string

  validation {
    condition     = can(jsondecode(var.execution_policy_json).Statement)
    error_message = "execution_policy_json must be an IAM policy document."
  }
}

variable "scheduler_policy_json" {
  description = "IAM policy with which EventBridge Scheduler starts the task (housekeeping only): a document of the policies module."
  type        = string
  default     = null

  validation {
    condition     = var.kind != "housekeeping" || can(jsondecode(var.scheduler_policy_json).Statement)
    error_message = "Housekeeping requires scheduler_policy_json, an IAM policy document."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles; null for none."
  type        = string
  default     = null
}

variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the tasks, one per availability zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must not be empty."
  }
}

variable "egress_security_groups" {
  description = "Servers that the tasks reach, by name: database (27017), broker (5671), interface endpoints (443). There is no other way out."
  type        = map(object({ security_group_id = string, port = number }))
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.egress_security_groups) : can(regex("^[a-z0-9-]{1,60}$", name))])
    error_message = "Names in egress_security_groups become descriptions of rules: lower-case letters, digits and hyphens."
  }
}

variable "egress_prefix_lists" {
  description = "Managed prefix lists that the tasks reach over HTTPS, by name: that of S3's gateway endpoint."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.egress_prefix_lists) : can(regex("^[a-z0-9-]{1,60}$", name))])
    error_message = "Names in egress_prefix_lists become descriptions of rules: lower-case letters, digits and hyphens."
  }
}

variable "egress_cidr_blocks" {
  description = "Address ranges that the tasks reach over HTTPS, by name. Only for what no endpoint serves: the keys of an OIDC issuer, or all AWS interfaces where there are no interface endpoints."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for block in values(var.egress_cidr_blocks) : can(cidrhost(block, 0))])
    error_message = "egress_cidr_blocks must contain address ranges such as 0.0.0.0/0."
  }

  validation {
    condition     = alltrue([for name in keys(var.egress_cidr_blocks) : can(regex("^[a-z0-9-]{1,60}$", name))])
    error_message = "Names in egress_cidr_blocks become descriptions of rules: lower-case letters, digits and hyphens."
  }
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "min_count" {
  description = "Fewest tasks."
  type        = number
  default     = 1

  validation {
    condition     = var.min_count >= 0 && floor(var.min_count) == var.min_count
    error_message = "min_count must be a whole number, not negative."
  }

  validation {
    condition     = var.min_count >= 1 || var.kind != "api"
    error_message = "The API requires at least one task; two for a zone to be allowed to fail."
  }

  validation {
    condition     = var.min_count >= 1 || var.kind != "worker" || var.scaling == "external"
    error_message = "Target tracking never starts the first task, because no task means no metric. Zero requires scaling = \"external\"."
  }
}

variable "max_count" {
  description = "Most tasks, which bounds the bill."
  type        = number
  default     = 4

  validation {
    condition     = var.max_count >= max(var.min_count, 1)
    error_message = "max_count must be at least min_count, and at least 1."
  }
}

variable "scaling" {
  description = "`target-tracking` follows CPU (and requests, for the API). `external` leaves desired_count to something else, such as a function that reads the depth of the queues."
  type        = string
  default     = "target-tracking"

  validation {
    condition     = contains(["target-tracking", "external"], var.scaling)
    error_message = "scaling must be target-tracking or external."
  }
}

variable "cpu_target_percent" {
  description = "Average CPU that target tracking aims at."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_target_percent >= 10 && var.cpu_target_percent <= 90
    error_message = "cpu_target_percent must be between 10 and 90."
  }
}

variable "requests_target_per_minute" {
  description = "Requests per minute and task that target tracking aims at (API only)."
  type        = number
  default     = 3000

  validation {
    condition     = var.requests_target_per_minute > 0
    error_message = "requests_target_per_minute must be positive."
  }
}

variable "on_demand_base" {
  description = "Tasks that always run on demand."
  type        = number
  default     = 1

  validation {
    condition     = var.on_demand_base >= 0
    error_message = "on_demand_base must not be negative."
  }
}

variable "on_demand_weight" {
  description = "Share on demand beyond the base."
  type        = number
  default     = 1

  validation {
    condition     = var.on_demand_weight >= 0 && var.on_demand_weight <= 1000
    error_message = "on_demand_weight must be between 0 and 1000."
  }
}

variable "spot_weight" {
  description = "Share of Fargate Spot beyond the base. Spot costs about a third, and a task may be taken away with two minutes' notice."
  type        = number
  default     = 0

  validation {
    condition     = var.spot_weight >= 0 && var.spot_weight <= 1000 && var.on_demand_weight + var.spot_weight > 0
    error_message = "spot_weight must be between 0 and 1000, and one of the weights above 0."
  }
}

variable "stop_timeout_s" {
  description = "Seconds between SIGTERM and SIGKILL; Fargate allows at most 120."
  type        = number
  default     = 120

  validation {
    condition     = var.stop_timeout_s >= 2 && var.stop_timeout_s <= 120
    error_message = "stop_timeout_s must be between 2 and 120."
  }
}

variable "stop_grace_s" {
  description = "Seconds within which a worker ends or hands back its conversions (CONVERTO_STOP_GRACE_S)."
  type        = number
  default     = 100

  validation {
    condition     = var.stop_grace_s >= 0 && var.stop_grace_s <= var.stop_timeout_s - 10
    error_message = "stop_grace_s must be at least 10 s below stop_timeout_s, or the worker is killed while it hands its conversions back."
  }
}

variable "container_port" {
  description = "Port of the API (CONVERTO_PORT)."
  type        = number
  default     = 8080
}

variable "load_balancer" {
  description = "Outputs of the load-balancer module (API only)."
  type = object({
    security_group_id         = string
    arn_suffix                = string
    target_group_arns         = map(string)
    target_group_arn_suffixes = map(string)
  })
  default = null

  validation {
    condition     = (var.kind == "api") == (var.load_balancer != null)
    error_message = "load_balancer is required for kind = \"api\" and must be null otherwise."
  }

  validation {
    condition     = try(toset(keys(var.load_balancer.target_group_arns)) == toset(["blue", "green"]), var.load_balancer == null)
    error_message = "load_balancer.target_group_arns must have the keys blue and green."
  }
}

variable "alarm_actions" {
  description = "ARNs of SNS topics that the alarms notify."
  type        = list(string)
  default     = []
}

variable "alarm_5xx_percent" {
  description = "Share of responses with a 5xx status above which the alarm goes off (API only)."
  type        = number
  default     = 1

  validation {
    condition     = var.alarm_5xx_percent > 0 && var.alarm_5xx_percent <= 100
    error_message = "alarm_5xx_percent must be between 0 and 100."
  }
}

variable "alarm_latency_s" {
  description = "Seconds that the fastest tenth of the responses may take before the alarm goes off (API only). Not a high percentile: clients that wait for a conversion wait on purpose, for up to CONVERTO_MAX_WAIT_S."
  type        = number
  default     = 1

  validation {
    condition     = var.alarm_latency_s > 0
    error_message = "alarm_latency_s must be positive."
  }
}

variable "schedule_expression" {
  description = "When housekeeping runs."
  type        = string
  default     = "rate(1 hour)"

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.schedule_expression))
    error_message = "schedule_expression must be rate(…) or cron(…)."
  }
}

variable "schedule_window_min" {
  description = "Minutes within which a run of housekeeping may start."
  type        = number
  default     = 10

  validation {
    condition     = var.schedule_window_min >= 1 && var.schedule_window_min <= 1440
    error_message = "schedule_window_min must be between 1 and 1440."
  }
}

variable "schedule_dead_letter_arn" {
  description = "SQS queue for runs of housekeeping that could not be started; null for none."
  type        = string
  default     = null
}

variable "log_kms_key_arn" {
  description = "KMS key of the log group."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key."
  }
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_retention_days)
    error_message = "log_retention_days must be a retention that CloudWatch Logs offers, from 7 days."
  }
}

variable "keep_task_definitions" {
  description = "Keep old revisions of the task definition active, so that a rollback can run them. They cost nothing."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
