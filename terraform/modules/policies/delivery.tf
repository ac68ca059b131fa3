locals {
  with_delivery = var.delivery == null ? 0 : 1
  state_bucket  = var.delivery == null ? "" : "arn:${var.partition}:s3:::${var.delivery.state_bucket}"
  state_objects = var.delivery == null ? "" : "${local.state_bucket}/${var.delivery.state_prefix}/*"
  state_key     = var.delivery == null ? "" : var.delivery.state_key_arn
  boundary      = var.delivery == null ? "" : var.delivery.boundary_arn
  neighbours    = var.delivery == null ? [] : sort(var.delivery.neighbours)
  hosted_zones  = var.delivery == null ? [] : [for zone in sort(var.delivery.hosted_zone_ids) : "arn:${var.partition}:route53:::hostedzone/${zone}"]

  # The certificate and the firewall of CloudFront, and the global services, answer in us-east-1.
  regions = distinct([var.region, "us-east-1"])

  own_buckets = [local.bucket_arn, "arn:${var.partition}:s3:::${var.name}-access-logs-${var.account_id}"]
  own_roles   = "${local.role_arn}/${var.name}-*"

  # CloudFront's logs, and those of its firewall, are in us-east-1 too.
  own_logs = flatten([for region in local.regions : [
    for resource in ["log-group:/${var.name}/*", "log-group:aws-waf-logs-${var.name}-*", "delivery-source:${var.name}-*", "delivery-destination:${var.name}-*"] :
    "arn:${var.partition}:logs:${region}:${var.account_id}:${resource}"
  ]])
}

# Terraform's state of this environment, read.
data "aws_iam_policy_document" "state_reader" {
  count = local.with_delivery

  statement {
    sid       = "FindState"
    actions   = ["s3:ListBucket"]
    resources = [local.state_bucket]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["${var.delivery.state_prefix}/*"]
    }
  }

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = [local.state_objects]
  }

  statement {
    sid       = "LockState"
    actions   = ["s3:DeleteObject", "s3:PutObject"]
    resources = ["${local.state_objects}.tflock"]
  }

  statement {
    sid       = "UseStateKeyThroughS3"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.state_key]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.${local.dns_suffix}"]
    }
  }
}

# What `terraform plan` reads. The role may be for pull requests, so no statement of it reads what users or secrets contain.
# The state is the exception: it holds the first passwords and the clients' secrets, and no plan works without it.
data "aws_iam_policy_document" "github_plan" {
  #checkov:skip=CKV_AWS_356: a plan reads the settings of resources that do not exist yet; every action only reads, and contents are denied
  count                   = local.with_delivery
  source_policy_documents = [data.aws_iam_policy_document.state_reader[0].json]

  statement {
    sid = "ReadSettings"
    actions = [
      "acm:Describe*", "acm:List*",
      "apigateway:GET",
      "application-autoscaling:Describe*", "application-autoscaling:ListTagsForResource",
      "backup:Describe*", "backup:GetBackup*", "backup:List*",
      "budgets:ListTagsForResource", "budgets:ViewBudget",
      "cloudfront:Describe*", "cloudfront:Get*", "cloudfront:List*",
      "cloudwatch:Describe*", "cloudwatch:GetDashboard", "cloudwatch:List*",
      "cognito-idp:DescribeResourceServer", "cognito-idp:DescribeUserPool", "cognito-idp:DescribeUserPoolDomain",
      "cognito-idp:GetUserPoolMfaConfig", "cognito-idp:ListResourceServers", "cognito-idp:ListTagsForResource",
      "cognito-idp:ListUserPoolClients", "cognito-idp:ListUserPools",
      "ec2:Describe*", "ec2:GetManagedPrefixListEntries", "ec2:GetSecurityGroupsForVpc",
      "ecr:Describe*", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:List*",
      "ecs:Describe*", "ecs:List*",
      "elasticloadbalancing:Describe*",
      "events:Describe*", "events:List*",
      "iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListOpenIDConnectProviders",
      "iam:ListPolicyTags", "iam:ListPolicyVersions", "iam:ListRolePolicies", "iam:ListRoleTags",
      "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:List*",
      "lambda:GetFunction", "lambda:GetFunctionCodeSigningConfig", "lambda:GetFunctionConfiguration",
      "lambda:GetPolicy", "lambda:List*",
      "logs:Describe*", "logs:GetDelivery*", "logs:ListTagsForResource", "logs:ListTagsLogGroup",
      "mq:Describe*", "mq:List*",
      "rds:Describe*", "rds:ListTagsForResource",
      "route53:Get*", "route53:List*",
      "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
      "s3:GetReplicationConfiguration", "s3:ListAllMyBuckets",
      "scheduler:Get*", "scheduler:List*",
      "secretsmanager:DescribeSecret", "secretsmanager:GetRandomPassword", "secretsmanager:GetResourcePolicy",
      "secretsmanager:ListSecrets",
      "sns:Get*", "sns:List*",
      "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags",
      "sts:GetCallerIdentity",
      "tag:GetResources",
      "wafv2:Describe*", "wafv2:Get*", "wafv2:List*",
    ]
    resources = ["*"]
  }

  # The workflow `deploy` keeps the plan beside the state until it is approved; the deploy role checks its hash.
  statement {
    sid       = "KeepPlan"
    actions   = ["s3:PutObject"]
    resources = ["${local.state_bucket}/${var.delivery.state_prefix}/plans/*.tfplan"]
  }

  # Terraform asks for the buckets of the environment with ListBucket (HeadBucket).
  statement {
    sid       = "FindBuckets"
    actions   = ["s3:ListBucket"]
    resources = local.own_buckets

    condition {
      test     = "Null"
      variable = "s3:prefix"
      values   = ["true"]
    }
  }

  # Of a client Cognito tells its secret too, so the workflow plans without refreshing.
  statement {
    sid    = "DenyContents"
    effect = "Deny"
    actions = [
      "cognito-idp:DescribeUserPoolClient",
      "logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery",
      "secretsmanager:GetSecretValue",
      "sqs:ReceiveMessage",
    ]
    resources = ["*"]
  }
}

# What `terraform apply` and deploy/aws do, for one environment.
data "aws_iam_policy_document" "github_deploy" {
  #checkov:skip=CKV_AWS_107: Terraform reads the first versions of the secrets that it makes, of this environment only
  #checkov:skip=CKV_AWS_109: it manages the roles of this environment; each carries the boundary, which it cannot change
  #checkov:skip=CKV_AWS_111: resources whose ids AWS chooses cannot be named; the statement is limited to the regions of the environment
  #checkov:skip=CKV_AWS_356: the same statement, limited to the regions of the environment
  count                   = local.with_delivery
  source_policy_documents = [data.aws_iam_policy_document.state_reader[0].json]

  statement {
    sid       = "WriteState"
    actions   = ["s3:PutObject"]
    resources = [local.state_objects]
  }

  # The workflow `deploy` verifies the signatures, which lie beside the images. ECR has no resource for the token.
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadSignatures"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [local.repositories]
  }

  # Resources that carry the environment's name.
  statement {
    sid = "ChangeWhatIsNamed"
    actions = [
      "budgets:*", "cloudwatch:*", "ecs:*", "lambda:*", "logs:*", "rds:*", "scheduler:*", "secretsmanager:*",
      "sns:*", "sqs:*",
    ]
    resources = concat(local.own_logs, [
      "arn:${var.partition}:budgets::${var.account_id}:budget/${var.name}-*",
      "arn:${var.partition}:cloudwatch:${local.here}:alarm:${var.name}-*",
      "arn:${var.partition}:cloudwatch:${local.here}:alarm:TargetTracking-service/${var.name}/*",
      local.cluster_arn,
      "arn:${var.partition}:ecs:${local.here}:service/${var.name}/*",
      "arn:${var.partition}:ecs:${local.here}:service-deployment/${var.name}/*",
      "arn:${var.partition}:ecs:${local.here}:service-revision/${var.name}/*",
      "arn:${var.partition}:ecs:${local.here}:task/${var.name}/*",
      "arn:${var.partition}:ecs:${local.here}:task-definition/${var.name}-*:*",
      "arn:${var.partition}:lambda:${local.here}:function:${var.name}-*",
      "arn:${var.partition}:logs:${local.here}:log-group:/aws/docdb/${var.name}-*",
      "arn:${var.partition}:rds:${local.here}:*:${var.name}",
      "arn:${var.partition}:rds:${local.here}:*:${var.name}-*",
      "arn:${var.partition}:scheduler:${local.here}:schedule/*/${var.name}-*",
      "arn:${var.partition}:scheduler:${local.here}:schedule-group/${var.name}*",
      "${local.secret_arn}:${var.name}/*",
      "arn:${var.partition}:sns:${local.here}:${var.name}-*",
      "${local.queue_arn}*",
    ])
  }

  # CloudWatch Logs chooses the ids of deliveries; they are made and deleted below.
  statement {
    sid       = "TagLogDeliveries"
    actions   = ["logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource"]
    resources = [for region in local.regions : "arn:${var.partition}:logs:${region}:${var.account_id}:delivery:*"]
  }

  # RDS makes the secret of the database's administrator for whoever makes the cluster. Nothing here reads it.
  statement {
    sid       = "MakeSecretOfDatabase"
    actions   = ["secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:RotateSecret", "secretsmanager:TagResource"]
    resources = ["${local.secret_arn}:rds!cluster-*"]
  }

  # An instance of DocumentDB gets groups that AWS makes for each engine.
  statement {
    sid       = "UseDefaultGroupsOfDatabase"
    actions   = ["rds:CreateDBCluster", "rds:CreateDBInstance", "rds:ModifyDBCluster", "rds:ModifyDBInstance"]
    resources = ["arn:${var.partition}:rds:${local.here}:og:default:docdb*", "arn:${var.partition}:rds:${local.here}:pg:default.docdb*"]
  }

  # The two buckets by name: a pattern like <name>-* may match the bucket of Terraform's state.
  statement {
    sid       = "ChangeBuckets"
    actions   = ["s3:*"]
    resources = flatten([for bucket in local.own_buckets : [bucket, "${bucket}/*"]])
  }

  # Resources whose ids AWS chooses, and calls that have no resource. Limited to the regions of the environment here; the
  # boundary takes away what carries another environment's tag, and what is not called like this one.
  statement {
    sid = "ChangeWhatHasNoName"
    actions = [
      "acm:Describe*", "acm:List*", "apigateway:*", "application-autoscaling:*", "backup:*", "backup-storage:MountCapsule",
      "cloudfront:*", "cognito-idp:*", "ec2:*", "elasticloadbalancing:*", "mq:*", "tag:GetResources", "wafv2:*",
      "route53:AssociateVPCWithHostedZone", "route53:ChangeResourceRecordSets", "route53:Get*", "route53:List*",
      "cloudwatch:Describe*", "cloudwatch:GetMetricData", "cloudwatch:List*",
      "ecr:Describe*", "ecr:List*",
      "ecs:CreateCluster", "ecs:DeregisterTaskDefinition", "ecs:Describe*", "ecs:List*", "ecs:RegisterTaskDefinition",
      "kms:Create*", "kms:Delete*", "kms:Describe*", "kms:Disable*", "kms:Enable*", "kms:Get*", "kms:List*",
      "kms:Put*", "kms:RetireGrant", "kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion",
      "kms:TagResource", "kms:UntagResource", "kms:Update*",
      "logs:*Deliver*", "logs:*ResourcePolicy", "logs:Describe*",
      "rds:Describe*",
      "secretsmanager:GetRandomPassword", "secretsmanager:ListSecrets",
      "sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe",
      "sts:GetCallerIdentity",
    ]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = local.regions
    }
  }

  # AWS services encrypt and decrypt with the environment's keys on behalf of this role; the role itself cannot.
  statement {
    sid       = "UseKeysThroughServices"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = values(var.key_arns)

    condition {
      test     = "StringLike"
      variable = "kms:ViaService"
      values   = ["*.${var.region}.${local.dns_suffix}"]
    }
  }

  statement {
    sid       = "ReadRoles"
    actions   = ["iam:Get*", "iam:List*"]
    resources = ["*"]
  }

  statement {
    sid = "ChangeRoles"
    actions = [
      "iam:AttachRolePolicy", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePolicy",
      "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription",
    ]
    resources = [local.own_roles]
  }

  # A role without the boundary could be given any permission, and with it whoever made the role.
  statement {
    sid       = "MakeRolesWithinBoundary"
    actions   = ["iam:CreateRole", "iam:PutRolePermissionsBoundary"]
    resources = [local.own_roles]

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [local.boundary]
    }
  }

  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = [local.own_roles]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values = [for service in ["apigateway", "backup", "ecs", "ecs-tasks", "lambda", "monitoring.rds", "s3", "scheduler", "vpc-flow-logs"] :
        "${service}.${local.dns_suffix}"
      ]
    }
  }

  statement {
    sid       = "MakeRolesOfServices"
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["${local.role_arn}/aws-service-role/*"]
  }

  statement {
    sid       = "DenyContents"
    effect    = "Deny"
    actions   = ["s3:DeleteObject*", "s3:GetObject*", "s3:PutObject*"]
    resources = ["${local.bucket_arn}/*"]
  }

  statement {
    sid    = "DenyOwnRoles"
    effect = "Deny"
    actions = [
      "iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PassRole",
      "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy",
    ]
    resources = ["${local.role_arn}/${var.name}-github-*"]
  }
}
