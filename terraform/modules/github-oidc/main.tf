# Workflows of GitHub take roles with short-lived tokens; no key of AWS is stored anywhere. A role is bound to the exact
# subject of a token: the repository and a GitHub environment, whose reviewers and branch rules decide who gets there.

locals {
  issuer       = "token.actions.githubusercontent.com"
  provider_arn = var.provider_arn == null ? aws_iam_openid_connect_provider.github[0].arn : var.provider_arn

  names  = split("/", var.repository)
  source = var.repository_ids == null ? var.repository : "${local.names[0]}@${var.repository_ids.owner}/${local.names[1]}@${var.repository_ids.repository}"

  plan_subjects = {
    for environment in var.environments : environment => concat(
      ["repo:${local.source}:environment:${environment}-plan"],
      contains(var.pull_request_environments, environment) ? ["repo:${local.source}:pull_request"] : [],
    )
  }

  subjects = merge(
    { for environment, subjects in local.plan_subjects : "${environment}-github-plan" => subjects },
    { for environment in var.environments : "${environment}-github-deploy" => ["repo:${local.source}:environment:${environment}"] },
    var.publish_policy_json == null ? {} : { "github-publish" = ["repo:${local.source}:environment:${var.publish_environment}"] },
  )

  # StringEquals, never StringLike: a pattern that looks right admits a repository whose name merely begins alike.
  trust = {
    for role, subjects in local.subjects : role => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Federated = local.provider_arn }
        Action    = "sts:AssumeRoleWithWebIdentity"
        Condition = {
          StringEquals = {
            "${local.issuer}:aud" = "sts.amazonaws.com"
            "${local.issuer}:sub" = subjects
          }
        }
      }]
    })
  }
}

# AWS checks the certificate of this issuer by its own list of authorities, so no thumbprint has to be kept up to date.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.provider_arn == null ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
  tags           = merge(var.tags, { Name = "${var.name}-github" })
}

resource "aws_iam_policy" "boundary" {
  for_each = var.environments

  name        = "${var.name}-${each.key}-boundary"
  description = "The most that any role of ${var.name}-${each.key} may do"
  policy      = var.boundary_policy_json[each.key]
  tags        = merge(var.tags, { Name = "${var.name}-${each.key}-boundary" })
}

# ---- plan: reads

resource "aws_iam_role" "plan" {
  for_each = var.environments

  name                 = "${var.name}-${each.key}-github-plan"
  description          = "Workflows of ${var.repository} that plan changes of ${each.key}"
  assume_role_policy   = local.trust["${each.key}-github-plan"]
  permissions_boundary = aws_iam_policy.boundary[each.key].arn
  max_session_duration = 3600
  tags                 = merge(var.tags, { Name = "${var.name}-${each.key}-github-plan" })
}

resource "aws_iam_role_policy" "plan" {
  for_each = var.environments

  name   = "plan"
  role   = aws_iam_role.plan[each.key].id
  policy = var.plan_policy_json[each.key]
}

# ---- deploy: changes one environment

resource "aws_iam_role" "deploy" {
  for_each = var.environments

  name                 = "${var.name}-${each.key}-github-deploy"
  description          = "Workflows of ${var.repository} that change ${each.key}"
  assume_role_policy   = local.trust["${each.key}-github-deploy"]
  permissions_boundary = aws_iam_policy.boundary[each.key].arn
  # A rollout waits for the bake time and the smoke test of each service.
  max_session_duration = 10800
  tags                 = merge(var.tags, { Name = "${var.name}-${each.key}-github-deploy" })
}

resource "aws_iam_role_policy" "deploy" {
  for_each = var.environments

  name   = "deploy"
  role   = aws_iam_role.deploy[each.key].id
  policy = var.deploy_policy_json[each.key]
}

# ---- publish: pushes images

resource "aws_iam_role" "publish" {
  count = var.publish_policy_json == null ? 0 : 1

  name                 = "${var.name}-github-publish"
  description          = "Workflows of ${var.repository} that push images"
  assume_role_policy   = local.trust["github-publish"]
  max_session_duration = 3600
  tags                 = merge(var.tags, { Name = "${var.name}-github-publish" })
}

resource "aws_iam_role_policy" "publish" {
  count = var.publish_policy_json == null ? 0 : 1

  name   = "publish"
  role   = aws_iam_role.publish[0].id
  policy = var.publish_policy_json
}
