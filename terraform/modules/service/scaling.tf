locals {
  capacity = {
    FARGATE      = { base = var.on_demand_base, weight = var.on_demand_weight }
    FARGATE_SPOT = { base = 0, weight = var.spot_weight }
  }
  is_tracked = !local.is_housekeeper && var.scaling == "target-tracking"
}

# With scaling = "external" nothing here exists: whoever sets desired_count instead is the only one who does.
resource "aws_appautoscaling_target" "this" {
  count = local.is_tracked ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster_name}/${aws_ecs_service.this[0].name}"
  min_capacity       = var.min_count
  max_capacity       = var.max_count
  tags               = local.tags
}

resource "aws_appautoscaling_policy" "cpu" {
  count = local.is_tracked ? 1 : 0

  name               = "${local.full_name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.cpu_target_percent
    scale_out_cooldown = 60
    # A worker that is taken away hands its conversion back, which costs the work done so far.
    scale_in_cooldown = local.is_worker ? 600 : 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

# Not the predefined ALBRequestCountPerTarget: it names one target group, and after each second deployment the other one
# serves.
resource "aws_appautoscaling_policy" "requests" {
  count = local.is_tracked && local.is_api ? 1 : 0

  name               = "${local.full_name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.requests_target_per_minute
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    customized_metric_specification {
      dynamic "metrics" {
        for_each = var.load_balancer.target_group_arn_suffixes

        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = "Sum"

            metric {
              namespace   = "AWS/ApplicationELB"
              metric_name = "RequestCountPerTarget"

              dimensions {
                name  = "TargetGroup"
                value = metrics.value
              }
            }
          }
        }
      }

      metrics {
        id          = "requests_per_task"
        label       = "Requests per minute and task, of the group that serves"
        expression  = "MAX([FILL(blue, 0), FILL(green, 0)])"
        return_data = true
      }
    }
  }
}
