locals {
  backend = <<-EOT
    bucket     = "${aws_s3_bucket.state.id}"
    region     = "${var.region}"
    kms_key_id = "${aws_kms_key.state.arn}"
  EOT
}

output "backend_config" {
  description = "Contents of backend.hcl of every folder below environments/: terraform output -raw backend_config > backend.hcl"
  value       = local.backend
}

output "github_variables" {
  description = "Variables of each GitHub environment: gh variable set <name> --env <environment> --body <value>."
  value = merge(
    {
      for environment in var.environments : environment => {
        AWS_REGION   = var.region
        AWS_ROLE_ARN = module.github_oidc.deploy_role_arns[environment]
        BACKEND      = local.backend
        PLANS        = "s3://${local.state_bucket}/${environment}/plans"
      }
    },
    {
      for environment in var.environments : "${environment}-plan" => {
        AWS_REGION   = var.region
        AWS_ROLE_ARN = module.github_oidc.plan_role_arns[environment]
        BACKEND      = local.backend
        PLANS        = "s3://${local.state_bucket}/${environment}/plans"
      }
    },
    {
      registry = {
        AWS_REGION   = var.region
        AWS_ROLE_ARN = module.github_oidc.publish_role_arn
        ECR_REGISTRY = module.registry.registry
      }
    },
  )
}

output "repository_urls" {
  description = "Address of each image repository."
  value       = module.registry.repository_urls
}

output "boundary_arns" {
  description = "Permissions boundary of each environment, for its permissions_boundary_arn."
  value       = module.github_oidc.boundary_arns
}
