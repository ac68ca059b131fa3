locals {
  backend_config = <<-HCL
    bucket     = "${local.state_bucket}"
    region     = "${var.region}"
    kms_key_id = "${aws_kms_key.state.arn}"
  HCL
}

output "backend_config" {
  description = "Contents of backend.hcl of every folder below environments/: terraform output -raw backend_config."
  value       = local.backend_config
}

output "github_variables" {
  description = "Variables of each GitHub environment: gh variable set <name> --env <environment> --body <value>."
  value = merge(
    {
      for environment in var.environments : environment => {
        AWS_REGION   = var.region
        AWS_ROLE_ARN = module.github_oidc.deploy_role_arns[environment]
        BACKEND      = local.backend_config
        PLANS        = "s3://${local.state_bucket}/${environment}/plans"
        ECR_REGISTRY = module.registry.registry
      }
    },
    {
      for environment in var.environments : "${environment}-plan" => {
        AWS_REGION   = var.region
        AWS_ROLE_ARN = module.github_oidc.plan_role_arns[environment]
        BACKEND      = local.backend_config
        PLANS        = "s3://${local.state_bucket}/${environment}/plans"
        ECR_REGISTRY = module.registry.registry
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
