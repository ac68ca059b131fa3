# S3 tells the file service that a source has arrived: bucket, queue, long poll. Results are written by our own workers
# and need no event, hence the suffix.

locals {
  refuse_plain_http = {
    Sid       = "RefusePlainHttp"
    Effect    = "Deny"
    Principal = { AWS = "*" }
    Action    = "sqs:*"
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }

  own_queue_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "EventsOfTheBucket"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.events.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = var.bucket_arn }
          StringEquals = { "aws:SourceAccount" = var.account_id }
        }
      },
      merge(local.refuse_plain_http, { Resource = aws_sqs_queue.events.arn }),
    ]
  })
}

# Keys of SQS, not of KMS: S3 could not write to a queue with a customer managed key without a grant on that key, and the
# events hold object keys without any text that a user chose.
resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-upload-events-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = merge(var.tags, { Name = "${var.name}-upload-events-dead" })
}

resource "aws_sqs_queue" "events" {
  name                       = "${var.name}-upload-events"
  visibility_timeout_seconds = var.visibility_timeout_s
  message_retention_seconds  = var.retention_days * 86400
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  tags                       = merge(var.tags, { Name = "${var.name}-upload-events" })

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events.arn]
  })
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.id
  policy    = var.queue_policy_json == null ? local.own_queue_policy : var.queue_policy_json
}

resource "aws_sqs_queue_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.refuse_plain_http, { Resource = aws_sqs_queue.dead.arn })]
  })
}

resource "aws_s3_bucket_notification" "uploads" {
  bucket = var.bucket

  queue {
    id            = "sources"
    queue_arn     = aws_sqs_queue.events.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "t/"
    filter_suffix = "/source"
  }

  # S3 sends a test event at once and refuses the configuration when the queue does not take it.
  depends_on = [aws_sqs_queue_policy.events]
}

resource "aws_cloudwatch_metric_alarm" "dead" {
  alarm_name          = "${var.name}-upload-events-dead"
  alarm_description   = "An upload event was given up. Uploads still complete by the sweeper, but late."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = merge(var.tags, { Name = "${var.name}-upload-events-dead" })
}

resource "aws_cloudwatch_metric_alarm" "oldest" {
  alarm_name          = "${var.name}-upload-events-oldest"
  alarm_description   = "Upload events wait too long: the file service does not consume them."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.events.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = var.oldest_event_alarm_s
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = merge(var.tags, { Name = "${var.name}-upload-events-oldest" })
}
