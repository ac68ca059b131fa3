output "plan_role_arns" {
  description = "Plan role of each environment: AWS_ROLE_ARN of the GitHub environment <name>-plan."
  value       = { for environment, role in aws_iam_role.plan : environment => role.arn }
}

output "plan_role_names" {
  description = "Name of the plan role of each environment."
  value       = { for environment, role in aws_iam_role.plan : environment => role.name }
}

output "deploy_role_arns" {
  description = "Deploy role of each environment: AWS_ROLE_ARN of the GitHub environment <name>."
  value       = { for environment, role in aws_iam_role.deploy : environment => role.arn }
}

output "publish_role_arn" {
  description = "Role that pushes images: AWS_ROLE_ARN of the GitHub environment registry; null without one."
  value       = one(aws_iam_role.publish[*].arn)
}

output "boundary_arns" {
  description = "Permissions boundary of each environment, which its roles have to carry."
  value       = { for environment, policy in aws_iam_policy.boundary : environment => policy.arn }
}

output "provider_arn" {
  description = "The account's OIDC provider of GitHub."
  value       = local.provider_arn
}
