output "vault_arn" {
  description = "Vault of the recovery points."
  value       = aws_backup_vault.this.arn
}

output "vault_name" {
  description = "Name of the vault."
  value       = aws_backup_vault.this.name
}

output "plan_id" {
  description = "Backup plan."
  value       = aws_backup_plan.this.id
}

output "role_arn" {
  description = "Role that makes and restores backups; a restore by hand names it."
  value       = aws_iam_role.backup.arn
}
