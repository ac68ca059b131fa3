# What exists once per account, before any environment: the bucket of the state, the roles of GitHub Actions, the image
# registry and the budget. A person applies it; no workflow can change it.

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = merge(var.tags, { Project = var.name, Environment = "bootstrap", ManagedBy = "terraform" })
  }
}

locals {
  # Known before they exist, so that policies and environments can name them.
  state_bucket  = "${var.name}-state-${var.account_id}"
  boundary_arns = { for environment in var.environments : environment => "arn:${var.partition}:iam::${var.account_id}:policy/${var.name}-${environment}-boundary" }

  # The environments make their keys later. Their roles reach a key of this account through AWS services only.
  any_key = "arn:${var.partition}:kms:${var.region}:${var.account_id}:key/*"
}

module "registry" {
  source = "../../modules/registry"

  name                 = var.name
  repositories         = var.repositories
  lambda_repositories  = setintersection(var.repositories, ["rotation"])
  lambda_function_arns = ["arn:${var.partition}:lambda:${var.region}:${var.account_id}:function:${var.name}-*"]
}

module "policies" {
  source   = "../../modules/policies"
  for_each = var.environments

  name       = "${var.name}-${each.key}"
  account_id = var.account_id
  region     = var.region
  partition  = var.partition
  key_arns   = { objects = local.any_key, database = local.any_key, secrets = local.any_key, logs = local.any_key }

  delivery = {
    state_bucket    = local.state_bucket
    state_key_arn   = aws_kms_key.state.arn
    state_prefix    = each.key
    boundary_arn    = local.boundary_arns[each.key]
    environment     = each.key
    neighbours      = [for environment in setsubtract(var.environments, [each.key]) : "${var.name}-${environment}"]
    hosted_zone_ids = lookup(var.hosted_zone_ids, each.key, [])
  }
}

module "github_oidc" {
  source = "../../modules/github-oidc"

  name                      = var.name
  repository                = var.repository
  repository_ids            = var.repository_ids
  environments              = var.environments
  pull_request_environments = var.pull_request_environments
  provider_arn              = var.github_provider_arn
  plan_policy_json          = { for environment, policies in module.policies : environment => policies.documents["github_plan"] }
  deploy_policy_json        = { for environment, policies in module.policies : environment => policies.documents["github_deploy"] }
  boundary_policy_json      = { for environment, policies in module.policies : environment => policies.documents["deploy_boundary"] }
  publish_policy_json       = local.publish_policy
}

locals {
  publish_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # This call has no resource.
        Sid      = "LogIn"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid    = "PushAndRead"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:ListImageReferrers", "ecr:ListImages",
          "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = [for repository in var.repositories : "arn:${var.partition}:ecr:${var.region}:${var.account_id}:repository/${var.name}/${repository}"]
      },
    ]
  })
}

module "budget" {
  source = "../../modules/budget"

  name              = var.name
  account_id        = var.account_id
  monthly_limit_usd = var.monthly_limit_usd
  emails            = var.emails
}
