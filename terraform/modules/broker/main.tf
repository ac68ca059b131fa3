# Amazon MQ for RabbitMQ: three nodes in three zones, reachable with TLS from the services only.

locals {
  amqps_port         = 5671
  bootstrap_username = "converto-bootstrap"
}

resource "aws_security_group" "this" {
  name        = "${var.name}-broker"
  description = "Broker of ${var.name}: accepts its clients, opens no connection"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-broker" })

  lifecycle {
    create_before_destroy = true
  }
}

# Rules are resources of their own, so that the module `secrets` can add the rotation function.
resource "aws_vpc_security_group_ingress_rule" "client" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "AMQP with TLS from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.amqps_port
  to_port                      = local.amqps_port
  tags                         = merge(var.tags, { Name = "${var.name}-broker-${each.key}" })
}

resource "aws_mq_configuration" "this" {
  name           = "${var.name}-broker"
  description    = "RabbitMQ settings of ${var.name}"
  engine_type    = "RabbitMQ"
  engine_version = var.engine_version
  tags           = var.tags

  data = <<-CONFIGURATION
    # Milliseconds until a message without an acknowledgement goes back to its queue.
    consumer_timeout = ${var.consumer_timeout_ms}
  CONFIGURATION
}

# Amazon MQ takes the first user's password as plain text only, so it stands in the state. The rotation function changes
# it with the first rotation, right after the broker is made; from then on the state holds a dead password.
data "aws_secretsmanager_random_password" "bootstrap" {
  password_length     = 48
  exclude_punctuation = true # Amazon MQ refuses commas, colons and equals signs
}

resource "aws_secretsmanager_secret" "bootstrap" {
  #checkov:skip=CKV2_AWS_57: the module `secrets` sets up the rotation, because it has the function
  name                    = "${var.name}/broker-bootstrap"
  description             = "Administrator of the broker; only the rotation function reads it"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.secret_recovery_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "bootstrap" {
  secret_id = aws_secretsmanager_secret.bootstrap.id
  secret_string = jsonencode({
    username = local.bootstrap_username
    password = data.aws_secretsmanager_random_password.bootstrap.random_password
  })
  # Secrets Manager deletes versions without a label. INITIAL stays here when rotations move AWSCURRENT on, so this
  # version never disappears and Terraform never writes a new one over a rotated password.
  version_stages = ["AWSCURRENT", "INITIAL"]

  lifecycle {
    ignore_changes = [secret_string, version_stages]
  }
}

resource "aws_mq_broker" "this" {
  #checkov:skip=CKV_AWS_209: Amazon MQ for RabbitMQ does not accept customer managed keys
  #checkov:skip=CKV_AWS_197: audit logs exist for ActiveMQ only; the general log of RabbitMQ names every connection
  broker_name                = "${var.name}-broker"
  engine_type                = "RabbitMQ"
  engine_version             = var.engine_version
  host_instance_type         = var.instance_type
  deployment_mode            = var.deployment_mode
  publicly_accessible        = false
  subnet_ids                 = var.deployment_mode == "SINGLE_INSTANCE" ? [var.subnet_ids[0]] : var.subnet_ids
  security_groups            = [aws_security_group.this.id]
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  configuration {
    id       = aws_mq_configuration.this.id
    revision = aws_mq_configuration.this.latest_revision
  }

  encryption_options {
    use_aws_owned_key = true
  }

  logs {
    general = true
  }

  maintenance_window_start_time {
    day_of_week = var.maintenance_window.day_of_week
    time_of_day = var.maintenance_window.time_of_day
    time_zone   = "UTC"
  }

  # Read back from the secret, so that a first apply that failed half-way is repeated with the same password.
  user {
    username = jsondecode(aws_secretsmanager_secret_version.bootstrap.secret_string).username
    password = jsondecode(aws_secretsmanager_secret_version.bootstrap.secret_string).password
  }

  tags = var.tags

  lifecycle {
    # Another user would replace the broker. Users of the services are made by the rotation function.
    ignore_changes = [user]
  }
}
