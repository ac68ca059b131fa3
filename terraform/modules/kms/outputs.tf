output "key_arns" {
  description = "ARN of each key: objects, database, secrets, logs."
  value       = { for kind, key in aws_kms_key.this : kind => key.arn }
}

output "alias_names" {
  description = "Alias of each key: objects, database, secrets, logs."
  value       = { for kind, alias in aws_kms_alias.this : kind => alias.name }
}
