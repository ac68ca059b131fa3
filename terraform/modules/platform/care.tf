# Where every alarm is heard.
resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = module.kms.key_arns["logs"]
  tags              = var.tags
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        # AWS documents no condition for notifications of AWS Backup.
        Sid       = "BackupReports"
        Effect    = "Allow"
        Principal = { Service = "backup.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

module "backup" {
  source = "../backup"

  name                     = var.name
  partition                = var.partition
  kms_key_arn              = module.kms.key_arns["database"]
  resource_arns            = [module.database.cluster_arn]
  retention_days           = var.backup.retention_days
  copy_destination         = var.backup.copy_destination
  lock                     = var.backup.lock
  alarm_topic_arns         = [aws_sns_topic.alarms.arn]
  force_destroy            = var.is_disposable
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}

# Counts this environment only, once Environment is made a cost allocation tag in the account's billing settings.
module "budget" {
  source = "../budget"

  name              = var.name
  monthly_limit_usd = var.monthly_budget_usd
  emails            = var.alarm_emails
  cost_tags         = { Environment = [lookup(var.tags, "Environment", var.name)] }
  tags              = var.tags
}
