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

# The rotation function reads the password of the database's administrator from a secret whose name RDS chooses. `policies`
# above cannot name it: the services wait for the database, and their roles for `policies`. Without the name the document
# would allow such secrets of every database in the account. This second call waits for the database; nothing that the
# database waits for uses it.
module "rotation_policy" {
  source = "../policies"

  name                       = var.name
  account_id                 = var.account_id
  region                     = var.region
  partition                  = var.partition
  key_arns                   = module.kms.key_arns
  database_master_secret_arn = module.database.master_secret_arn
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
