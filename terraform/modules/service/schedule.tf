resource "aws_iam_role" "scheduler" {
  count = local.is_housekeeper ? 1 : 0

  name                 = "${local.full_name}-scheduler"
  description          = "What EventBridge Scheduler may do to run ${var.service}"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })

  tags = local.tags
}

resource "aws_iam_role_policy" "scheduler" {
  count = local.is_housekeeper ? 1 : 0

  name   = "scheduler"
  role   = aws_iam_role.scheduler[0].id
  policy = var.scheduler_policy_json
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297: the schedule holds no data; its target is a task definition.
  count = local.is_housekeeper ? 1 : 0

  name                = local.full_name
  description         = "Takes away what is old enough or belongs to nobody"
  schedule_expression = var.schedule_expression

  # So that the environments of one account do not start theirs at the same moment.
  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = var.schedule_window_min
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.scheduler[0].arn

    ecs_parameters {
      # Without a revision the newest one runs, so a deployment has nothing to change here.
      task_definition_arn     = aws_ecs_task_definition.this.arn_without_revision
      task_count              = 1
      platform_version        = "1.4.0"
      propagate_tags          = "TASK_DEFINITION"
      enable_ecs_managed_tags = true

      dynamic "capacity_provider_strategy" {
        for_each = { for provider, strategy in local.capacity : provider => strategy if strategy.base + strategy.weight > 0 }

        content {
          capacity_provider = capacity_provider_strategy.key
          base              = capacity_provider_strategy.value.base
          weight            = capacity_provider_strategy.value.weight
        }
      }

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [aws_security_group.this.id]
        assign_public_ip = false
      }
    }

    # The next run comes within the hour and finds what this one left.
    retry_policy {
      maximum_retry_attempts       = 2
      maximum_event_age_in_seconds = 900
    }

    dynamic "dead_letter_config" {
      for_each = var.schedule_dead_letter_arn == null ? [] : [var.schedule_dead_letter_arn]

      content {
        arn = dead_letter_config.value
      }
    }
  }
}
