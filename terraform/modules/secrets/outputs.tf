output "secret_arns" {
  description = "ARNs of the secrets database, broker (JSON with username and password), bootstrap_api_key and sealing_key (plain text)."
  value       = { for key, secret in aws_secretsmanager_secret.this : key => secret.arn }
}

output "rotation_function_name" {
  description = "Name of the rotation function."
  value       = aws_lambda_function.rotation.function_name
}

output "rotation_role_name" {
  description = "Name of the function's role."
  value       = aws_iam_role.rotation.name
}

output "rotation_security_group_id" {
  description = "Security group of the function; interface endpoints must accept it."
  value       = aws_security_group.rotation.id
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = [aws_cloudwatch_metric_alarm.rotation.alarm_name]
}
