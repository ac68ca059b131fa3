output "service_name" {
  description = "Name of the ECS service; null for housekeeping, which is no service."
  value       = one(aws_ecs_service.this[*].name)
}

output "task_definition_family" {
  description = "Family of the task definition. Deployments register further revisions of it."
  value       = aws_ecs_task_definition.this.family
}

output "task_definition_arn" {
  description = "The revision that Terraform made, on which deployments base theirs."
  value       = aws_ecs_task_definition.this.arn
}

output "container_name" {
  description = "Name of the container in the task definition."
  value       = var.service
}

output "container_port" {
  description = "Port of the container (API only)."
  value       = local.is_api ? var.container_port : null
}

output "task_role_arn" {
  description = "Role of the containers."
  value       = aws_iam_role.this["task"].arn
}

output "execution_role_arn" {
  description = "Role with which ECS starts the tasks."
  value       = aws_iam_role.this["execution"].arn
}

output "scheduler_role_arn" {
  description = "Role with which EventBridge Scheduler starts the task (housekeeping only)."
  value       = one(aws_iam_role.scheduler[*].arn)
}

output "security_group_id" {
  description = "Security group of the tasks, which database and broker let in."
  value       = aws_security_group.this.id
}

output "log_group" {
  description = "Log group of the containers."
  value       = aws_cloudwatch_log_group.this.name
}

output "alarm_names" {
  description = "Alarms that a deployment watches (API only)."
  value = sort(concat(
    aws_cloudwatch_metric_alarm.errors[*].alarm_name,
    [for alarm in aws_cloudwatch_metric_alarm.unhealthy : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.latency : alarm.alarm_name],
  ))
}

output "schedule_name" {
  description = "Name of the schedule (housekeeping only)."
  value       = one(aws_scheduler_schedule.this[*].name)
}
