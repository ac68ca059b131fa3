# What a blue/green deployment watches: each of these rolls it back.
locals {
  colors = local.is_api ? var.load_balancer.target_group_arn_suffixes : {}
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  count = local.is_api ? 1 : 0

  alarm_name          = "${local.full_name}-5xx"
  alarm_description   = "More than ${var.alarm_5xx_percent} % of the responses are errors of the service or of the load balancer."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_5xx_percent
  evaluation_periods  = 2
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  # Two errors a minute prove nothing where there is little traffic.
  metric_query {
    id          = "percent"
    label       = "Errors in percent"
    expression  = "IF(errors > 2, 100 * errors / requests, 0)"
    return_data = true
  }

  metric_query {
    id          = "errors"
    expression  = "FILL(target_blue, 0) + FILL(target_green, 0) + FILL(balancer, 0)"
    return_data = false
  }

  dynamic "metric_query" {
    for_each = local.colors

    content {
      id = "target_${metric_query.key}"

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = "HTTPCode_Target_5XX_Count"
        stat        = "Sum"
        period      = 60
        dimensions  = { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = metric_query.value }
      }
    }
  }

  # No target, or none that answers in time.
  metric_query {
    id = "balancer"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_ELB_5XX_Count"
      stat        = "Sum"
      period      = 60
      dimensions  = { LoadBalancer = var.load_balancer.arn_suffix }
    }
  }

  metric_query {
    id = "requests"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      stat        = "Sum"
      period      = 60
      dimensions  = { LoadBalancer = var.load_balancer.arn_suffix }
    }
  }

  tags = local.tags
}

resource "aws_cloudwatch_metric_alarm" "unhealthy" {
  for_each = local.colors

  alarm_name          = "${local.full_name}-unhealthy-${each.key}"
  alarm_description   = "A task of the ${each.key} group fails the health check of the load balancer."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  for_each = local.colors

  alarm_name          = "${local.full_name}-latency-${each.key}"
  alarm_description   = "Even the fastest tenth of the responses of the ${each.key} group takes more than ${var.alarm_latency_s} s."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = each.value }
  extended_statistic  = "p10"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_latency_s
  treat_missing_data  = "notBreaching"
  # A percentile of a handful of requests is noise.
  evaluate_low_sample_count_percentiles = "ignore"
  alarm_actions                         = var.alarm_actions
  ok_actions                            = var.alarm_actions
  tags                                  = local.tags
}
