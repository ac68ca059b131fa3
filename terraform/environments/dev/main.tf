provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}

# CloudFront reads its web ACL and its certificates from this region only.
provider "aws" {
  alias  = "us_east_1"
  region = "us-east-1"

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  name = "converto-dev"
  tags = {
    Application = "converto"
    Environment = "dev"
    ManagedBy   = "terraform"
  }
}

module "platform" {
  source = "../../modules/platform"
  providers = {
    aws           = aws
    aws.us_east_1 = aws.us_east_1
  }

  name       = local.name
  account_id = data.aws_caller_identity.current.account_id
  region     = var.region
  partition  = data.aws_partition.current.partition
  tags       = local.tags

  availability_zones       = var.availability_zones
  images                   = var.images
  domain_name              = var.domain_name
  certificate_arn          = var.certificate_arn
  hosted_zone_id           = var.hosted_zone_id
  origin_name              = var.origin_name
  origin_certificate_arn   = var.origin_certificate_arn
  identity                 = var.identity
  cors_origins             = var.cors_origins
  alarm_emails             = var.alarm_emails
  permissions_boundary_arn = var.permissions_boundary_arn

  # The smallest that does everything. One zone's loss stops it; its contents may be deleted at any time.
  is_disposable      = true
  cidr               = "10.20.0.0/16"
  nat                = "one"
  api_keys           = "accepted"
  container_insights = "enabled"
  waf                = false
  log_retention_days = 30
  monthly_budget_usd = 400

  database     = { instance_class = "db.t4g.medium", instance_count = 1, backup_retention_days = 1, performance_insights = false }
  broker       = { instance_type = "mq.m7g.medium", deployment_mode = "SINGLE_INSTANCE" }
  backup       = { retention_days = 7 }
  file_service = { cpu = 512, memory = 1024, min_count = 1, max_count = 2 }

  # On Spot, so a conversion may be handed back to the queue at any time, which is worth trying every day.
  workers = {
    office = {
      families          = ["office"]
      cpu               = 2048
      memory            = 8192
      slots             = 2
      engine_memory_mib = 3072
      storage_gib       = 30
      min_count         = 1
      max_count         = 2
      on_demand_base    = 0
      on_demand_weight  = 0
      spot_weight       = 1
    }
    image = {
      families          = ["image", "pdf"]
      cpu               = 2048
      memory            = 8192
      slots             = 2
      engine_memory_mib = 3072
      storage_gib       = 30
      min_count         = 1
      max_count         = 2
      on_demand_base    = 0
      on_demand_weight  = 0
      spot_weight       = 1
    }
    media = {
      families          = ["video", "audio"]
      cpu               = 4096
      memory            = 16384
      slots             = 1
      engine_memory_mib = 12288
      storage_gib       = 200
      min_count         = 1
      max_count         = 1
      on_demand_base    = 0
      on_demand_weight  = 0
      spot_weight       = 1
    }
    model = {
      families          = ["model"]
      cpu               = 2048
      memory            = 16384
      slots             = 1
      engine_memory_mib = 12288
      storage_gib       = 50
      min_count         = 1
      max_count         = 1
      on_demand_base    = 0
      on_demand_weight  = 0
      spot_weight       = 1
    }
  }
}
