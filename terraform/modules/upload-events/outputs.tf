output "queue_url" {
  description = "Queue of the upload events, for CONVERTO_UPLOAD_EVENTS_QUEUE_URL."
  value       = aws_sqs_queue.events.id
}

output "queue_arn" {
  description = "ARN of the queue, for the policy of the file service."
  value       = aws_sqs_queue.events.arn
}

output "dead_letter_queue_arn" {
  description = "ARN of the queue of events that were given up."
  value       = aws_sqs_queue.dead.arn
}

output "dead_letter_queue_url" {
  description = "URL of the queue of events that were given up."
  value       = aws_sqs_queue.dead.id
}

output "alarm_names" {
  description = "Alarms: an event was given up; events wait too long."
  value       = [aws_cloudwatch_metric_alarm.dead.alarm_name, aws_cloudwatch_metric_alarm.oldest.alarm_name]
}
