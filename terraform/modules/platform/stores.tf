module "storage" {
  source = "../storage"

  name                     = var.name
  account_id               = var.account_id
  partition                = var.partition
  kms_key_arn              = module.kms.key_arns["objects"]
  cors_origins             = var.cors_origins
  transfer_acceleration    = var.transfer_acceleration
  bucket_policy_json       = module.policies.documents["bucket"]
  replication              = var.replication
  permissions_boundary_arn = var.permissions_boundary_arn
  force_destroy            = var.is_disposable
  access_log_days          = var.log_retention_days
  tags                     = var.tags
}

module "upload_events" {
  source = "../upload-events"

  name              = var.name
  account_id        = var.account_id
  bucket            = module.storage.bucket
  bucket_arn        = module.storage.bucket_arn
  queue_policy_json = module.policies.documents["upload_queue"]
  alarm_topic_arns  = [aws_sns_topic.alarms.arn]
  tags              = var.tags
}

module "database" {
  source = "../database"

  name                      = var.name
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.data_subnet_ids
  availability_zones        = var.availability_zones
  client_security_group_ids = local.service_security_groups
  kms_key_arn               = module.kms.key_arns["database"]
  log_kms_key_arn           = module.kms.key_arns["logs"]
  log_retention_days        = var.log_retention_days
  instance_class            = var.database.instance_class
  instance_count            = var.database.instance_count
  storage_type              = var.database.storage_type
  backup_retention_days     = var.database.backup_retention_days
  performance_insights      = var.database.performance_insights
  deletion_protection       = !var.is_disposable
  final_snapshot            = !var.is_disposable
  tags                      = var.tags
}

module "broker" {
  source = "../broker"

  name                      = var.name
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.data_subnet_ids
  client_security_group_ids = local.service_security_groups
  kms_key_arn               = module.kms.key_arns["secrets"]
  engine_version            = var.broker.engine_version
  instance_type             = var.broker.instance_type
  deployment_mode           = var.broker.deployment_mode
  secret_recovery_days      = var.is_disposable ? 0 : 30
  tags                      = var.tags
}

module "secrets" {
  source = "../secrets"

  name                     = var.name
  account_id               = var.account_id
  kms_key_arn              = module.kms.key_arns["secrets"]
  log_kms_key_arn          = module.kms.key_arns["logs"]
  log_retention_days       = var.log_retention_days
  rotation_image           = var.images["rotation"]
  rotation_architecture    = var.architecture == "ARM64" ? "arm64" : "x86_64"
  rotation_policy_json     = module.rotation_policy.documents["rotation"]
  permissions_boundary_arn = var.permissions_boundary_arn
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  api_cidr_blocks          = [local.aws_api_range]
  ecs_cluster_name         = module.cluster.cluster_name
  secret_recovery_days     = var.is_disposable ? 0 : 30
  alarm_topic_arns         = [aws_sns_topic.alarms.arn]
  tags                     = var.tags

  database = {
    url               = module.database.url
    port              = module.database.port
    security_group_id = module.database.security_group_id
    master_secret_arn = module.database.master_secret_arn
    database_name     = local.database_name
  }
  broker = {
    url                  = module.broker.url
    console_url          = module.broker.console_url
    security_group_id    = module.broker.security_group_id
    bootstrap_secret_arn = module.broker.bootstrap_secret_arn
  }
  # Housekeeping reads the secrets anew at each run.
  services_to_restart = {
    database          = concat(["file-service"], keys(local.workers))
    broker            = concat(["file-service"], keys(local.workers))
    bootstrap_api_key = ["file-service"]
    sealing_key       = concat(["file-service"], keys(local.workers))
  }

  # The first rotation starts with the apply, and needs the routes out.
  depends_on = [module.network]
}
