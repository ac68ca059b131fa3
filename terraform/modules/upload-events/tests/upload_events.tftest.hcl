mock_provider "aws" {
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-central-1:123456789012:mock"
      id  = "https://sqs.eu-central-1.amazonaws.com/123456789012/mock"
    }
  }
}

variables {
  name             = "converto-test"
  account_id       = "123456789012"
  bucket           = "converto-test-objects-123456789012"
  bucket_arn       = "arn:aws:s3:::converto-test-objects-123456789012"
  alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
}

run "only_sources_of_users_make_events" {
  command = apply

  assert {
    condition     = one(aws_s3_bucket_notification.uploads.queue).events == toset(["s3:ObjectCreated:*"])
    error_message = "Single and multipart uploads make events."
  }

  assert {
    condition     = one(aws_s3_bucket_notification.uploads.queue).filter_prefix == "t/" && one(aws_s3_bucket_notification.uploads.queue).filter_suffix == "/source"
    error_message = "Results must not make events."
  }
}

run "both_queues_are_encrypted_and_named" {
  command = apply

  assert {
    condition     = aws_sqs_queue.events.name == "converto-test-upload-events" && aws_sqs_queue.dead.name == "converto-test-upload-events-dead"
    error_message = "Queue names carry the environment."
  }

  assert {
    condition     = aws_sqs_queue.events.sqs_managed_sse_enabled && aws_sqs_queue.dead.sqs_managed_sse_enabled
    error_message = "Both queues are encrypted."
  }

  assert {
    condition     = aws_sqs_queue.events.receive_wait_time_seconds == 20
    error_message = "Consumers poll long."
  }
}

run "failed_events_are_kept_for_two_weeks" {
  command = apply

  assert {
    condition     = jsondecode(aws_sqs_queue.events.redrive_policy).maxReceiveCount == 10 && aws_sqs_queue.dead.message_retention_seconds == 1209600
    error_message = "After ten deliveries an event goes to the dead letters and stays for 14 days."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead.redrive_allow_policy).redrivePermission == "byQueue"
    error_message = "Only our own queue may use the dead letters."
  }
}

run "only_the_bucket_may_send" {
  command = apply

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_sqs_queue_policy.events.policy).Statement :
      statement.Principal.Service == "s3.amazonaws.com" && statement.Action == "sqs:SendMessage" &&
      statement.Condition.ArnEquals["aws:SourceArn"] == var.bucket_arn &&
      statement.Condition.StringEquals["aws:SourceAccount"] == var.account_id
      if statement.Effect == "Allow"
    ])
    error_message = "Only S3, for this bucket and this account, may send."
  }

  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.events.policy, aws_sqs_queue_policy.dead.policy] : anytrue([
        for statement in jsondecode(policy).Statement :
        statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"] == "false", false)
      ])
    ])
    error_message = "Both queues refuse requests without TLS."
  }
}

run "given_up_event_raises_the_alarm" {
  command = apply

  assert {
    condition     = aws_cloudwatch_metric_alarm.dead.threshold == 0 && aws_cloudwatch_metric_alarm.dead.alarm_actions == toset(var.alarm_topic_arns)
    error_message = "The first dead letter raises the alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.oldest.dimensions.QueueName == "converto-test-upload-events" && aws_cloudwatch_metric_alarm.oldest.threshold == 120
    error_message = "Events that wait for two minutes raise the alarm."
  }
}

run "burial_after_one_delivery_is_refused" {
  command = plan

  variables {
    max_receive_count = 1
  }

  expect_failures = [var.max_receive_count]
}

run "policy_open_to_every_bucket_is_refused" {
  command = plan

  variables {
    queue_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }

  expect_failures = [var.queue_policy_json]
}
