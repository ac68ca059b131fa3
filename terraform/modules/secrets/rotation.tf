# The rotation function (deploy/aws/rotation), its role, its place in the network and its schedule.

locals {
  # What the function rotates, by the secret's ARN. It holds names and addresses, no secret.
  rotated = {
    database = {
      kind             = "database"
      url              = var.database.url
      admin_secret_arn = var.database.master_secret_arn
      database         = var.database.database_name
      user             = local.user
      services         = var.services_to_restart.database
    }
    broker = {
      kind             = "broker"
      url              = var.broker.url
      management_url   = var.broker.console_url
      admin_secret_arn = var.broker.bootstrap_secret_arn
      user             = local.user
      services         = var.services_to_restart.broker
    }
    broker_bootstrap = {
      kind           = "broker_bootstrap"
      management_url = var.broker.console_url
    }
    bootstrap_api_key = {
      kind     = "api_key"
      services = var.services_to_restart.bootstrap_api_key
    }
    sealing_key = {
      kind     = "sealing_key"
      services = var.services_to_restart.sealing_key
    }
  }

  # It makes users by the management API and tries them as the services do, with AMQP.
  broker_ports = { "Management API" = 443, "AMQP with TLS" = 5671 }

  secret_arns = merge(
    { for key, secret in aws_secretsmanager_secret.this : key => secret.arn },
    { broker_bootstrap = var.broker.bootstrap_secret_arn },
  )
}

resource "aws_iam_role" "rotation" {
  name                 = "${var.name}-rotation"
  description          = "Rotation of the secrets of ${var.name}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "rotation" {
  name   = "rotation"
  role   = aws_iam_role.rotation.id
  policy = var.rotation_policy_json
}

resource "aws_security_group" "rotation" {
  name        = "${var.name}-rotation"
  description = "Rotation function of ${var.name}: accepts no connection"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-rotation" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "api" {
  for_each = toset(var.api_cidr_blocks)

  security_group_id = aws_security_group.rotation.id
  description       = "Secrets Manager and ECS"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "database" {
  security_group_id            = aws_security_group.rotation.id
  description                  = "Users of the database"
  referenced_security_group_id = var.database.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.database.port
  to_port                      = var.database.port
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = var.database.security_group_id
  description                  = "MongoDB protocol with TLS from the rotation function"
  referenced_security_group_id = aws_security_group.rotation.id
  ip_protocol                  = "tcp"
  from_port                    = var.database.port
  to_port                      = var.database.port
  tags                         = merge(var.tags, { Name = "${var.name}-database-rotation" })
}

resource "aws_vpc_security_group_egress_rule" "broker" {
  for_each = local.broker_ports

  security_group_id            = aws_security_group.rotation.id
  description                  = each.key
  referenced_security_group_id = var.broker.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "broker" {
  for_each = local.broker_ports

  security_group_id            = var.broker.security_group_id
  description                  = "${each.key} from the rotation function"
  referenced_security_group_id = aws_security_group.rotation.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = merge(var.tags, { Name = "${var.name}-broker-rotation" })
}

resource "aws_cloudwatch_log_group" "rotation" {
  name              = "/${var.name}/rotation"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "rotation" {
  #checkov:skip=CKV_AWS_115: reserved concurrency would fail in new accounts, whose whole limit is 10; only Secrets Manager calls it, once per secret
  #checkov:skip=CKV_AWS_116: Secrets Manager repeats failed rotations itself; the alarm reports them
  #checkov:skip=CKV_AWS_173: the environment holds names and addresses, no secret
  #checkov:skip=CKV_AWS_50: four short calls a month; the log says what each did
  #checkov:skip=CKV_AWS_272: code signing is for zip files; the image is pinned by digest and signed in the registry
  function_name = "${var.name}-rotation"
  description   = "Rotates the secrets of ${var.name}"
  role          = aws_iam_role.rotation.arn
  package_type  = "Image"
  image_uri     = var.rotation_image
  architectures = [var.rotation_architecture]
  memory_size   = 256
  timeout       = 120
  tags          = var.tags

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.rotation.id]
  }

  environment {
    variables = {
      CONVERTO_ROTATION = jsonencode({
        cluster = var.ecs_cluster_name
        secrets = { for key, rotated in local.rotated : local.secret_arns[key] => rotated }
      })
    }
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.rotation.name
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }

  depends_on = [aws_iam_role_policy.rotation]
}

resource "aws_lambda_permission" "rotation" {
  for_each = local.rotated

  statement_id   = "secrets-manager-${replace(each.key, "_", "-")}"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.rotation.function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = var.account_id
  source_arn     = local.secret_arns[each.key]
}

resource "aws_secretsmanager_secret_rotation" "this" {
  #checkov:skip=CKV_AWS_304: checkov does not look the days up; the variable allows 90 at most
  for_each = local.rotated

  secret_id           = local.secret_arns[each.key]
  rotation_lambda_arn = aws_lambda_function.rotation.arn
  rotate_immediately  = true

  rotation_rules {
    automatically_after_days = var.rotation_days[each.key]
  }

  # The first rotation starts at once and needs everything that it talks to.
  depends_on = [
    aws_lambda_permission.rotation,
    aws_secretsmanager_secret_version.first,
    aws_vpc_security_group_egress_rule.api,
    aws_vpc_security_group_egress_rule.broker,
    aws_vpc_security_group_egress_rule.database,
    aws_vpc_security_group_ingress_rule.broker,
    aws_vpc_security_group_ingress_rule.database,
  ]
}

resource "aws_cloudwatch_metric_alarm" "rotation" {
  alarm_name          = "${var.name}-rotation-failed"
  alarm_description   = "A secret was not rotated. Services go on with the current one; the function's log says why it failed."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.rotation.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  tags                = var.tags
}
