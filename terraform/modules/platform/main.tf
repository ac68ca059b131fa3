# One whole environment. This module makes almost nothing itself: it passes the outputs of one module to the next, so
# that the environments differ in sizes only.
#
#   main.tf      names, keys, policies, network
#   stores.tf    bucket, upload events, database, broker, secrets
#   services.tf  the way in, the cluster, the services
#   care.tf      alarms, backup, budget

locals {
  has_endpoints = length(var.interface_endpoints) > 0

  # Where services reach the APIs of AWS: inside the VPC, or by way of NAT where there are no endpoints.
  aws_api_range = local.has_endpoints ? module.network.vpc_cidr : "0.0.0.0/0"

  workers = { for worker, size in var.workers : "worker-${worker}" => size }
}

module "kms" {
  source = "../kms"

  name       = var.name
  account_id = var.account_id
  region     = var.region
  partition  = var.partition
  tags       = var.tags
}

module "policies" {
  source = "../policies"

  name       = var.name
  account_id = var.account_id
  region     = var.region
  partition  = var.partition
  key_arns   = module.kms.key_arns
}

module "network" {
  source = "../network"

  name                     = var.name
  account_id               = var.account_id
  region                   = var.region
  partition                = var.partition
  cidr                     = var.cidr
  availability_zones       = var.availability_zones
  nat                      = var.nat
  interface_endpoints      = var.interface_endpoints
  s3_endpoint_policy_json  = module.policies.documents["s3_endpoint"]
  flow_logs_policy_json    = module.policies.documents["flow_logs"]
  permissions_boundary_arn = var.permissions_boundary_arn
  log_kms_key_arn          = module.kms.key_arns["logs"]
  flow_logs_retention_days = var.log_retention_days
  tags                     = var.tags
}
