# Tells people before the bill does. It stops nothing: a budget that shuts services down turns a busy day into an outage.

locals {
  notifications = concat(
    [for threshold in var.actual_thresholds : { type = "ACTUAL", threshold = threshold }],
    [{ type = "FORECASTED", threshold = 100 }],
  )

  # AWS writes a tag as user:<name>$<value>; the $ is part of the format.
  tag_filters = flatten([for tag, values in var.cost_tags : [for value in values : format("user:%s$%s", tag, value)]])
}

resource "aws_budgets_budget" "monthly" {
  account_id   = var.account_id
  name         = "${var.name}-monthly"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.monthly_limit_usd)
  limit_unit   = "USD"
  tags         = merge(var.tags, { Name = "${var.name}-monthly" })

  dynamic "cost_filter" {
    for_each = length(local.tag_filters) > 0 ? [local.tag_filters] : []

    content {
      name   = "TagKeyValue"
      values = cost_filter.value
    }
  }

  dynamic "notification" {
    for_each = local.notifications

    content {
      notification_type          = notification.value.type
      threshold                  = notification.value.threshold
      threshold_type             = "PERCENTAGE"
      comparison_operator        = "GREATER_THAN"
      subscriber_email_addresses = var.emails
      subscriber_sns_topic_arns  = var.alarm_topic_arns
    }
  }
}
