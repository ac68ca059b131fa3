locals {
  tags = merge(var.tags, { Name = var.name })
}

resource "aws_cloudwatch_log_group" "exec" {
  #checkov:skip=CKV_AWS_338: the default is a year; development environments keep logs for less
  name              = "/${var.name}/exec"
  kms_key_id        = var.log_kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }

  configuration {
    # No service of ours allows it (the root file systems are read-only), but a task that somebody starts by hand might.
    execute_command_configuration {
      kms_key_id = var.log_kms_key_arn
      logging    = "OVERRIDE"

      log_configuration {
        cloud_watch_encryption_enabled = true
        cloud_watch_log_group_name     = aws_cloudwatch_log_group.exec.name
      }
    }

    dynamic "managed_storage_configuration" {
      for_each = var.ephemeral_storage_kms_key_arn == null ? [] : [var.ephemeral_storage_kms_key_arn]

      content {
        fargate_ephemeral_storage_kms_key_id = managed_storage_configuration.value
      }
    }
  }

  tags = local.tags
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = var.default_on_demand_base
    weight            = 1
  }

  dynamic "default_capacity_provider_strategy" {
    for_each = var.default_spot_weight > 0 ? [var.default_spot_weight] : []

    content {
      capacity_provider = "FARGATE_SPOT"
      weight            = default_capacity_provider_strategy.value
    }
  }
}
