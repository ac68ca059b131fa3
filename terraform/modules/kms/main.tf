# One key per kind of content, so that a role that reads objects cannot read passwords, and a leaked grant on the key of
# the logs opens nothing else.

locals {
  keys = {
    objects  = "Objects in S3: sources and results of conversions"
    database = "Storage, snapshots and backups of the database"
    secrets  = "Secrets in Secrets Manager"
    logs     = "Log groups and the topic of the alarms"
  }

  # Hands the decision to the IAM policies of this account. Without it a key can become unmanageable for good.
  account_statement = {
    Sid       = "AccountDecidesByIam"
    Effect    = "Allow"
    Principal = { AWS = "arn:${var.partition}:iam::${var.account_id}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }

  log_statement = {
    Sid       = "CloudWatchLogsOfThisEnvironment"
    Effect    = "Allow"
    Principal = { Service = "logs.${var.region}.amazonaws.com" }
    Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    Resource  = "*"
    Condition = {
      ArnLike = {
        "kms:EncryptionContext:aws:logs:arn" = "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:*${var.name}*"
      }
    }
  }

  # These services publish to an encrypted topic on their own account, not with a role of ours.
  alarm_statement = {
    Sid       = "AlarmsPublishToTheEncryptedTopic"
    Effect    = "Allow"
    Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com", "budgets.amazonaws.com"] }
    Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
  }

  # AWS documents no condition for notifications of AWS Backup.
  backup_statement = {
    Sid       = "BackupReportsToTheEncryptedTopic"
    Effect    = "Allow"
    Principal = { Service = "backup.amazonaws.com" }
    Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
    Resource  = "*"
  }

  statements = {
    objects  = [local.account_statement]
    database = [local.account_statement]
    secrets  = [local.account_statement]
    logs     = [local.account_statement, local.log_statement, local.alarm_statement, local.backup_statement]
  }
}

resource "aws_kms_key" "this" {
  for_each = local.keys

  description             = "${var.name}: ${each.value}"
  enable_key_rotation     = true
  rotation_period_in_days = var.rotation_period_days
  deletion_window_in_days = var.deletion_window_days
  policy                  = jsonencode({ Version = "2012-10-17", Statement = local.statements[each.key] })
  tags                    = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_kms_alias" "this" {
  for_each = local.keys

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
