locals {
  database_name = "converto"

  # Of all services, by name; known before the groups exist.
  service_security_groups = merge(
    { file-service = module.file_service.security_group_id, housekeeping = module.housekeeping.security_group_id },
    { for worker, made in module.worker : worker => made.security_group_id },
  )

  # What every service reads. Credentials come from Secrets Manager and are nowhere else.
  environment = {
    CONVERTO_MONGODB_URL         = module.database.url
    CONVERTO_MONGODB_DATABASE    = local.database_name
    CONVERTO_RABBITMQ_URL        = module.broker.url
    CONVERTO_S3_BUCKET           = module.storage.bucket
    CONVERTO_S3_REGION           = var.region
    CONVERTO_S3_ADDRESSING_STYLE = "virtual"
  }
  logins = {
    CONVERTO_MONGODB_USER      = "${module.secrets.secret_arns["database"]}:username::"
    CONVERTO_MONGODB_PASSWORD  = "${module.secrets.secret_arns["database"]}:password::"
    CONVERTO_RABBITMQ_USER     = "${module.secrets.secret_arns["broker"]}:username::"
    CONVERTO_RABBITMQ_PASSWORD = "${module.secrets.secret_arns["broker"]}:password::"
  }

  sealing = { CONVERTO_SEALING_KEY = module.secrets.secret_arns["sealing_key"] }

  # Presigned URLs must name the accelerated host; the bucket's setting alone changes nothing.
  accelerated = var.transfer_acceleration ? { CONVERTO_S3_PUBLIC_ENDPOINT_URL = "https://s3-accelerate.amazonaws.com" } : {}

  # All customers of AWS share the names of sign-in pages in a region, so the default carries the account.
  sign_in_name = coalesce(var.identity.domain_prefix, "${var.name}-${var.account_id}")

  egress_security_groups = {
    database = { security_group_id = module.database.security_group_id, port = module.database.port }
    broker   = { security_group_id = module.broker.security_group_id, port = 5671 }
  }
  egress_prefix_lists = { s3 = module.network.s3_prefix_list_id }
}

module "identity" {
  source = "../identity"

  name                = var.name
  oidc                = var.identity.oidc
  domain_prefix       = local.sign_in_name
  callback_urls       = var.identity.callback_urls
  logout_urls         = var.identity.logout_urls
  command_line_ports  = var.identity.command_line_ports
  machine_clients     = var.identity.machine_clients
  mfa                 = var.identity.mfa
  deletion_protection = !var.is_disposable
  tags                = var.tags
}

# The addresses of CloudFront, from which the load balancer accepts the event streams.
data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

module "load_balancer" {
  source = "../load-balancer"

  name                      = var.name
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = [module.edge.vpc_link_security_group_id]
  cloudfront_prefix_list_id = data.aws_ec2_managed_prefix_list.cloudfront.id
  # The smoke test of a release runs as a task with the security group of the file service.
  test_client_security_group_ids = [module.file_service.security_group_id]
  certificate_arn                = var.origin_certificate_arn
  access_log_bucket              = module.storage.access_log_bucket
  deletion_protection            = !var.is_disposable
  tags                           = var.tags
}

module "edge" {
  source = "../edge"
  providers = {
    aws           = aws
    aws.us_east_1 = aws.us_east_1
  }

  name                            = var.name
  vpc_id                          = module.network.vpc_id
  link_subnet_ids                 = module.network.private_subnet_ids
  load_balancer_arn               = module.load_balancer.arn
  load_balancer_security_group_id = module.load_balancer.security_group_id
  listener_arn                    = module.load_balancer.prod_listener_arn
  server_name                     = var.origin_name
  issuer                          = module.identity.issuer
  audiences                       = module.identity.audiences
  scopes = {
    read  = ["${module.identity.scope_prefix}conversions:read"]
    write = ["${module.identity.scope_prefix}conversions:write"]
    admin = ["${module.identity.scope_prefix}admin"]
  }
  api_keys           = var.api_keys
  cors_origins       = var.cors_origins
  domain_name        = var.domain_name
  certificate_arn    = var.certificate_arn
  hosted_zone_id     = var.hosted_zone_id
  waf                = var.waf
  log_kms_key_arn    = module.kms.key_arns["logs"]
  log_retention_days = var.log_retention_days
  alarm_actions      = [aws_sns_topic.alarms.arn]
  tags               = var.tags
}

module "cluster" {
  source = "../cluster"

  name               = var.name
  log_kms_key_arn    = module.kms.key_arns["logs"]
  log_retention_days = var.log_retention_days
  container_insights = var.container_insights
  tags               = var.tags
}

module "file_service" {
  source = "../service"

  name                     = var.name
  service                  = "file-service"
  kind                     = "api"
  image                    = var.images["file-service"]
  architecture             = var.architecture
  cpu                      = var.file_service.cpu
  memory                   = var.file_service.memory
  min_count                = var.file_service.min_count
  max_count                = var.file_service.max_count
  region                   = var.region
  account_id               = var.account_id
  partition                = var.partition
  task_policy_json         = module.policies.documents["file_service"]
  execution_policy_json    = module.policies.documents["execution"]
  permissions_boundary_arn = var.permissions_boundary_arn
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  cluster_arn              = module.cluster.cluster_arn
  cluster_name             = module.cluster.cluster_name
  log_kms_key_arn          = module.kms.key_arns["logs"]
  log_retention_days       = var.log_retention_days
  keep_task_definitions    = !var.is_disposable
  alarm_actions            = [aws_sns_topic.alarms.arn]
  tags                     = var.tags

  load_balancer = {
    security_group_id         = module.load_balancer.security_group_id
    arn_suffix                = module.load_balancer.arn_suffix
    target_group_arns         = module.load_balancer.target_group_arns
    target_group_arn_suffixes = module.load_balancer.target_group_arn_suffixes
  }
  environment = merge(local.environment, local.accelerated, module.edge.service_environment, {
    CONVERTO_UPLOAD_EVENTS_QUEUE_URL = module.upload_events.queue_url
    CONVERTO_JWT_ISSUER              = module.identity.issuer
    CONVERTO_JWT_AUDIENCE            = join(",", module.identity.audiences)
    CONVERTO_JWT_JWKS_URL            = module.identity.jwks_url
    CONVERTO_JWT_SCOPE_PREFIX        = module.identity.scope_prefix
  })
  secrets = merge(local.logins, local.sealing, { CONVERTO_BOOTSTRAP_API_KEY = module.secrets.secret_arns["bootstrap_api_key"] })

  egress_security_groups = merge(local.egress_security_groups, {
    test-listener = { security_group_id = module.load_balancer.security_group_id, port = module.load_balancer.test_port }
  })
  egress_prefix_lists = local.egress_prefix_lists
  # The issuer of the tokens is on the internet.
  egress_cidr_blocks = { internet = "0.0.0.0/0" }
}

module "worker" {
  source   = "../service"
  for_each = local.workers

  name                     = var.name
  service                  = each.key
  kind                     = "worker"
  image                    = var.images[each.key]
  architecture             = var.architecture
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  ephemeral_storage_gib    = each.value.storage_gib
  min_count                = each.value.min_count
  max_count                = each.value.max_count
  on_demand_base           = each.value.on_demand_base
  on_demand_weight         = each.value.on_demand_weight
  spot_weight              = each.value.spot_weight
  region                   = var.region
  account_id               = var.account_id
  partition                = var.partition
  task_policy_json         = module.policies.documents["worker"]
  execution_policy_json    = module.policies.documents["execution_worker"]
  permissions_boundary_arn = var.permissions_boundary_arn
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  cluster_arn              = module.cluster.cluster_arn
  cluster_name             = module.cluster.cluster_name
  log_kms_key_arn          = module.kms.key_arns["logs"]
  log_retention_days       = var.log_retention_days
  keep_task_definitions    = !var.is_disposable
  alarm_actions            = [aws_sns_topic.alarms.arn]
  tags                     = var.tags

  environment = merge(local.environment, {
    CONVERTO_FAMILIES            = join(",", each.value.families)
    CONVERTO_WORKER_SLOTS        = tostring(each.value.slots)
    CONVERTO_ENGINE_MEMORY_BYTES = tostring(each.value.engine_memory_mib * 1024 * 1024)
  })
  secrets = merge(local.logins, local.sealing)

  egress_security_groups = local.egress_security_groups
  egress_prefix_lists    = local.egress_prefix_lists
  # With endpoints a program that escapes its sandbox reaches no other machine than those of this VPC.
  egress_cidr_blocks = { aws-apis = local.aws_api_range }
}

module "housekeeping" {
  source = "../service"

  name                     = var.name
  service                  = "housekeeping"
  kind                     = "housekeeping"
  image                    = var.images["file-service"]
  architecture             = var.architecture
  cpu                      = 256
  memory                   = 512
  region                   = var.region
  account_id               = var.account_id
  partition                = var.partition
  task_policy_json         = module.policies.documents["housekeeping"]
  execution_policy_json    = module.policies.documents["execution"]
  scheduler_policy_json    = module.policies.documents["scheduler"]
  permissions_boundary_arn = var.permissions_boundary_arn
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  cluster_arn              = module.cluster.cluster_arn
  cluster_name             = module.cluster.cluster_name
  log_kms_key_arn          = module.kms.key_arns["logs"]
  log_retention_days       = var.log_retention_days
  keep_task_definitions    = !var.is_disposable
  alarm_actions            = [aws_sns_topic.alarms.arn]
  tags                     = var.tags

  environment            = local.environment
  secrets                = local.logins
  egress_security_groups = local.egress_security_groups
  egress_prefix_lists    = local.egress_prefix_lists
  egress_cidr_blocks     = { aws-apis = local.aws_api_range }
}

# With this role ECS moves the traffic between the two target groups of the file service.
resource "aws_iam_role" "ecs_infrastructure" {
  name                 = "${var.name}-ecs-infrastructure"
  description          = "ECS moves traffic between blue and green"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs.amazonaws.com" } # AWS documents no condition for this role
    }]
  })
}

resource "aws_iam_role_policy" "ecs_infrastructure" {
  name   = "blue-green"
  role   = aws_iam_role.ecs_infrastructure.id
  policy = module.policies.documents["ecs_infrastructure"]
}
