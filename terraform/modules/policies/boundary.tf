# The most that any role of the environment can do: those of GitHub Actions, and each role that they make. IAM grants what
# both the role's own policy and this one allow. Several environments may share an account, so this document, not the
# policies of the roles, is the fence between them: whoever deploys `dev` can write a role any policy.
#
# Three ways to tell what belongs to the environment, by what the service offers:
#   by name   services whose ARNs carry the names that Terraform gives
#   by tag    services whose ARNs carry ids of AWS: nothing that the tag `Environment` gives to another environment
#   neither   listed in README.md, "What the boundary cannot limit"

locals {
  environment = var.delivery == null ? "" : var.delivery.environment

  # Of every region and account, so that the list stays within the size of a managed policy: DenyOtherRegions limits the
  # regions, and another account would have to let the role in itself.
  named = concat([for arn in [
    "budgets::*:budget/${var.name}-*",
    "cloudwatch:*:*:alarm:${var.name}-*",
    "cloudwatch:*:*:alarm:TargetTracking-service/${var.name}/*",
    "ecs:*:*:cluster/${var.name}",
    "ecs:*:*:service*/${var.name}/*", # service, service-deployment, service-revision
    "ecs:*:*:task/${var.name}/*",
    "ecs:*:*:task-definition/${var.name}-*",
    "elasticloadbalancing:*:*:l*/app/${var.name}/*", # loadbalancer, listener, listener-rule
    "elasticloadbalancing:*:*:targetgroup/${substr(var.name, 0, 26)}-*",
    "iam::*:role/${var.name}-*",
    "iam::*:role/aws-service-role/*",
    "kms:*:*:alias/${var.name}-*",
    "kms:*:*:key/*", # by tag
    "lambda:*:*:function:${var.name}-*",
    "logs:*:*:delivery*", # delivery and its source and destination; their tags tell the environments apart
    "logs:*:*:log-group:/${var.name}/*",
    "logs:*:*:log-group:/aws/docdb/${var.name}-*",
    "logs:*:*:log-group:aws-waf-logs-${var.name}*",
    "rds:*:*:*:${var.name}*",
    "rds:*:*:?g:default?docdb*", # option and parameter groups of AWS
    "rds:*:*:cluster-snapshot:awsbackup:*",
    "s3:::${var.name}-access-logs-${var.account_id}*",
    "s3:::${local.bucket}*",
    "scheduler:*:*:schedule*/${var.name}*", # schedule, schedule-group
    "secretsmanager:*:*:secret:${var.name}/*",
    "sns:*:*:${var.name}-*",
    "sqs:*:*:${var.name}-*",
  ] : "arn:${var.partition}:${arn}"], local.hosted_zones)
}

data "aws_iam_policy_document" "deploy_boundary" {
  #checkov:skip=CKV_AWS_49: a boundary grants nothing; the policy of the role must allow the same call
  #checkov:skip=CKV_AWS_107: a boundary grants nothing, it only limits
  #checkov:skip=CKV_AWS_108: a boundary grants nothing, it only limits
  #checkov:skip=CKV_AWS_109: a boundary grants nothing, it only limits
  #checkov:skip=CKV_AWS_110: a boundary grants nothing, it only limits
  #checkov:skip=CKV_AWS_111: a boundary grants nothing, it only limits
  #checkov:skip=CKV_AWS_356: a boundary grants nothing, it only limits
  count = local.with_delivery

  statement {
    sid = "ByName"
    actions = [
      "budgets:*", "cloudwatch:*", "ecs:*", "elasticloadbalancing:*",
      "iam:*Role", "iam:*RolePolicy", "iam:*RolePermissionsBoundary", "iam:UpdateAssumeRolePolicy", "iam:UpdateRoleDescription",
      "kms:*", "lambda:*", "logs:*", "rds:*", "route53:ChangeResourceRecordSets", "s3:*", "scheduler:*",
      "secretsmanager:*", "sns:*", "sqs:*",
    ]
    resources = local.named
  }

  # DenyOtherEnvironments takes away what carries another environment's tag.
  statement {
    sid = "ByTag"
    actions = [
      "apigateway:*", "application-autoscaling:*", "backup:*", "backup-storage:*", "cloudfront:*", "cognito-idp:*",
      "ec2:*", "mq:*", "wafv2:*",
    ]
    resources = ["*"]
  }

  # Calls that name no resource, or that only read settings.
  statement {
    sid = "WithoutResource"
    actions = [
      "cloudwatch:Describe*", "cloudwatch:GetMetricData", "cloudwatch:List*",
      "ecr:GetAuthorizationToken",
      # IAM limits no deregistration to a family. Services and schedules keep running what they have.
      "ecs:CreateCluster", "ecs:DeregisterTaskDefinition", "ecs:Describe*", "ecs:List*", "ecs:RegisterTaskDefinition",
      "elasticloadbalancing:Describe*",
      "iam:Get*", "iam:List*",
      "kms:CreateKey", "kms:DescribeKey", "kms:List*", "kms:TagResource",
      "logs:*Deliver*", "logs:*ResourcePolic*", "logs:Describe*",
      "rds:Describe*",
      "route53:AssociateVPCWithHostedZone", "route53:Get*", "route53:List*", # endpoints with private names
      "secretsmanager:GetRandomPassword", "secretsmanager:ListSecrets",
      "sns:*SubscriptionAttributes", "sns:Unsubscribe",
      "tag:GetResources",
    ]
    resources = ["*"]
  }

  # DocumentDB names the secret of its master user and tags it with the cluster.
  statement {
    sid       = "MasterSecret"
    actions   = ["secretsmanager:*"]
    resources = ["arn:${var.partition}:secretsmanager:*:*:secret:rds!cluster-*"]

    condition {
      test     = "ArnLikeIfExists"
      variable = "aws:ResourceTag/aws:rds:primaryDBClusterArn"
      values   = ["arn:${var.partition}:rds:*:*:cluster:${var.name}-*"]
    }
  }

  # `<name>-replica…` is the name that a bucket for copies of the objects has to have.
  statement {
    sid       = "Neighbourhood"
    actions   = ["ecr:BatchCheck*", "ecr:BatchGet*", "ecr:Describe*", "ecr:Get*", "ecr:List*", "s3:GetBucket*", "s3:ListBucket", "s3:Replicate*"]
    resources = [local.repositories, local.state_bucket, "arn:${var.partition}:s3:::${var.name}-replica*/*"]
  }

  statement {
    sid       = "State"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = [local.state_key, local.state_objects]
  }

  # A resource without the tag is not denied, because a new one begins without: read README.md before another project
  # shares the account. The key of the state has a statement of its own.
  statement {
    sid    = "DenyOtherEnvironments"
    effect = "Deny"
    actions = [
      "apigateway:*", "application-autoscaling:*", "backup:*", "cloudfront:*", "cognito-idp:*", "ec2:*", "ecs:*",
      "elasticloadbalancing:*", "kms:*", "lambda:*", "logs:*", "mq:*", "rds:*", "secretsmanager:*", "wafv2:*",
    ]
    not_resources = [local.state_key]

    condition {
      test     = "StringNotEquals"
      variable = "aws:ResourceTag/Environment"
      values   = [local.environment]
    }
    condition {
      test     = "Null"
      variable = "aws:ResourceTag/Environment"
      values   = ["false"]
    }
  }

  statement {
    sid         = "DenyStateKey"
    effect      = "Deny"
    not_actions = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    resources   = [local.state_key]
  }

  # The newest revision of a family runs on a schedule, and the call has no tag to tell the environments apart.
  dynamic "statement" {
    for_each = length(local.neighbours) == 0 ? [] : [local.neighbours]

    content {
      sid       = "DenyNeighbours"
      effect    = "Deny"
      actions   = ["ecs:RegisterTaskDefinition"]
      resources = [for name in statement.value : "arn:${var.partition}:ecs:*:*:task-definition/${name}-*"]
    }
  }

  # No environment has machines or disks of its own, so those in the account are somebody else's.
  statement {
    sid       = "DenyMachines"
    effect    = "Deny"
    actions   = ["ec2:*Image*", "ec2:*Instance*", "ec2:*KeyPair*", "ec2:*LaunchTemplate*", "ec2:*Snapshot*", "ec2:*Volume*"]
    resources = ["*"]
  }

  # Objects of users are for the containers of the services and for the replication of the bucket.
  statement {
    sid       = "DenyContents"
    effect    = "Deny"
    actions   = ["s3:DeleteObject*", "s3:GetObject*", "s3:PutObject*", "s3:Re*Object"]
    resources = ["${local.bucket_arn}/*"]

    condition {
      test     = "ArnNotLike"
      variable = "aws:PrincipalArn"
      values   = ["${local.role_arn}/${var.name}-*-task", "${local.role_arn}/${var.name}-replication"]
    }
  }

  # The roles of GitHub Actions and the boundary itself are changed by people, in environments/bootstrap.
  statement {
    sid         = "DenyOwnRoles"
    effect      = "Deny"
    not_actions = ["iam:Get*", "iam:List*"]
    resources   = ["${local.role_arn}/${var.name}-github-*", local.boundary]
  }

  statement {
    sid       = "DenyRolesWithoutBoundary"
    effect    = "Deny"
    actions   = ["iam:CreateRole", "iam:PutRolePermissionsBoundary"]
    resources = ["*"]

    condition {
      test     = "StringNotEquals"
      variable = "iam:PermissionsBoundary"
      values   = [local.boundary]
    }
  }

  statement {
    sid       = "DenyRemovalOfBoundary"
    effect    = "Deny"
    actions   = ["iam:DeleteRolePermissionsBoundary"]
    resources = ["*"]
  }

  statement {
    sid       = "DenyOtherRegions"
    effect    = "Deny"
    actions   = ["ec2:*", "ecs:*", "kms:CreateKey", "lambda:*", "mq:*", "rds:*", "secretsmanager:*", "sqs:*"]
    resources = ["*"]

    condition {
      test     = "StringNotEquals"
      variable = "aws:RequestedRegion"
      values   = local.regions
    }
  }
}
