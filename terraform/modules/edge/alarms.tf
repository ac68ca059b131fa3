# Errors of the way in that the load balancer does not see: the VPC link, its TLS, and the API's own limits.
resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-api-5xx"
  alarm_description   = "More than 1 % of the responses of the HTTP API are server errors."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
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

  dynamic "metric_query" {
    for_each = { errors = "5xx", requests = "Count" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApiGateway"
        metric_name = metric_query.value
        stat        = "Sum"
        period      = 60
        dimensions  = { ApiId = aws_apigatewayv2_api.this.id }
      }
    }
  }

  tags = local.tags
}
