# The shortest configuration that converts a file: one database instance, one broker, three small workers. State stays in
# this folder. Start from environments/dev for anything that lives longer than a day.

provider "aws" {
  region = var.region

  default_tags {
    tags = { Application = "converto", Environment = "minimal" }
  }
}

provider "aws" {
  alias  = "us_east_1"
  region = "us-east-1"

  default_tags {
    tags = { Application = "converto", Environment = "minimal" }
  }
}

data "aws_caller_identity" "current" {}

module "converto" {
  source = "../../modules/platform"
  providers = {
    aws           = aws
    aws.us_east_1 = aws.us_east_1
  }

  name               = "converto-minimal"
  account_id         = data.aws_caller_identity.current.account_id
  region             = var.region
  availability_zones = var.availability_zones
  cidr               = "10.30.0.0/16"
  nat                = "one"
  is_disposable      = true
  waf                = false
  api_keys           = "accepted"
  log_retention_days = 30

  images                 = var.images
  origin_name            = var.origin_name
  origin_certificate_arn = var.origin_certificate_arn
  alarm_emails           = var.alarm_emails
  monthly_budget_usd     = 350

  database     = { instance_class = "db.t4g.medium", instance_count = 1, backup_retention_days = 1, performance_insights = false }
  broker       = { instance_type = "mq.m7g.medium", deployment_mode = "SINGLE_INSTANCE" }
  file_service = { cpu = 256, memory = 1024, min_count = 1, max_count = 1 }

  # The office image takes pictures and PDF too. Films and parts need their own images, so their workers are as small as
  # Fargate allows.
  workers = {
    office = { families = ["office", "pdf", "image"], cpu = 1024, memory = 4096, slots = 1, engine_memory_mib = 3072, min_count = 1, max_count = 1, on_demand_base = 0, on_demand_weight = 0, spot_weight = 1 }
    media  = { families = ["video", "audio"], cpu = 1024, memory = 4096, slots = 1, engine_memory_mib = 3072, min_count = 1, max_count = 1, on_demand_base = 0, on_demand_weight = 0, spot_weight = 1 }
    model  = { families = ["model"], cpu = 1024, memory = 4096, slots = 1, engine_memory_mib = 3072, min_count = 1, max_count = 1, on_demand_base = 0, on_demand_weight = 0, spot_weight = 1 }
  }
}
