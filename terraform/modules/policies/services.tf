# Sources and outputs as the file service and housekeeping need them. Both run the sweeps (file_service/housekeeping),
# which also complete uploads that nobody confirmed, copy results from the cache, and remove what is old.
data "aws_iam_policy_document" "file_keeper" {
  source_policy_documents = [data.aws_iam_policy_document.bucket_user.json]

  # A presigned URL can do what the role that signed it can do: PutObject covers single uploads, parts and their
  # completion, and copies from the result cache; GetObject covers downloads and HEAD.
  statement {
    sid = "KeepSourcesAndOutputs"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]
    resources = [local.sources, local.outputs]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }

  # The object that says which database this bucket belongs to; nobody may delete it.
  statement {
    sid       = "MarkBucket"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = [local.bucket_mark]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }

  # Uploads that are neither completed nor aborted; S3 has no condition on the prefix of this call.
  statement {
    sid       = "ListOpenUploads"
    actions   = ["s3:ListBucketMultipartUploads"]
    resources = [local.bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }
}

data "aws_iam_policy_document" "file_service" {
  source_policy_documents = [data.aws_iam_policy_document.file_keeper.json]

  statement {
    sid       = "ReceiveUploadEvents"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = [local.queue_arn]
  }
}

data "aws_iam_policy_document" "housekeeping" {
  source_policy_documents = [data.aws_iam_policy_document.file_keeper.json]
}

data "aws_iam_policy_document" "worker" {
  source_policy_documents = [data.aws_iam_policy_document.bucket_user.json]

  statement {
    sid       = "ReadSources"
    actions   = ["s3:GetObject"]
    resources = [local.sources]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }

  # Get: HEAD after each upload, and copies of another conversion's outputs. Delete: outputs of a lost race.
  statement {
    sid       = "WriteOutputs"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = [local.outputs]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }

  # While a conversion runs the worker protects its own ECS task from scaling in. IAM cannot say "its own": no variable of
  # a policy holds the id of the caller's task, and all tasks of a service carry the same tags. So a worker that was taken
  # over can end the protection of the cluster's other tasks; a conversion that is cut off then starts again elsewhere.
  statement {
    sid       = "ProtectTasks"
    actions   = ["ecs:UpdateTaskProtection"]
    resources = ["arn:${var.partition}:ecs:${local.here}:task/${var.name}/*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }
}

# What ECS needs to start a container of any kind: its image, its log stream.
data "aws_iam_policy_document" "container_start" {
  # ECR has no resource for this call; the token alone reads no image.
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [local.repositories]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_groups}:*"]
  }

  statement {
    sid       = "UseKeyThroughSecretsManager"
    actions   = ["kms:Decrypt"]
    resources = [var.key_arns.secrets]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.region}.${local.dns_suffix}"]
    }
  }
}

# Workers open users' files, so what starts them cannot read the key of the administrator.
data "aws_iam_policy_document" "execution_worker" {
  source_policy_documents = [data.aws_iam_policy_document.container_start.json]

  statement {
    sid       = "ReadSecretsOfServices"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in ["database", "broker", "sealing-key"] : local.own_secrets[secret]]
  }
}

data "aws_iam_policy_document" "execution" {
  source_policy_documents = [data.aws_iam_policy_document.container_start.json]

  statement {
    sid       = "ReadSecretsOfServices"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in ["database", "broker", "sealing-key", "bootstrap-api-key"] : local.own_secrets[secret]]
  }
}

data "aws_iam_policy_document" "rotation" {
  #checkov:skip=CKV_AWS_111: Lambda needs the calls for network interfaces on every resource; the last statement takes them from the function's code
  statement {
    sid = "RotateOwnSecrets"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = values(local.own_secrets)
  }

  # With the master user it makes the users of the services in the database. DocumentDB rotates that secret itself.
  statement {
    sid       = "ReadMasterSecret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [local.database_master_secret]
  }

  statement {
    sid       = "UseKeyThroughSecretsManager"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arns.secrets]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.region}.${local.dns_suffix}"]
    }
  }

  # Services read a secret when a task starts, so new tasks follow each rotation. The function looks first whether an
  # interrupted rollout left its pause on the service.
  statement {
    sid       = "RestartServices"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = ["arn:${var.partition}:ecs:${local.here}:service/${var.name}/*"]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${var.partition}:logs:${local.here}:log-group:/${var.name}/rotation:*"]
  }

  # Lambda makes the network interfaces with the function's role. EC2 cannot limit these calls to a network that is
  # known beforehand, so the next statement takes them from the function's own code.
  statement {
    sid = "JoinNetwork"
    actions = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:UnassignPrivateIpAddresses",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "KeepCodeOutOfNetwork"
    effect    = "Deny"
    actions   = ["ec2:*"]
    resources = ["*"]

    condition {
      test     = "ArnLike"
      variable = "lambda:SourceFunctionArn"
      values   = ["arn:${var.partition}:lambda:${local.here}:function:*"]
    }
  }
}

# ECS moves the file service's traffic from blue to green with this role.
data "aws_iam_policy_document" "ecs_infrastructure" {
  statement {
    sid = "ReadLoadBalancer"
    actions = [
      "elasticloadbalancing:DescribeListeners",
      "elasticloadbalancing:DescribeRules",
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
    ]
    resources = ["*"] # Elastic Load Balancing has no resource for these calls.
  }

  statement {
    sid       = "MoveTargets"
    actions   = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
    resources = [local.target_groups]
  }

  statement {
    sid     = "MoveTraffic"
    actions = ["elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"]
    resources = [
      "arn:${var.partition}:elasticloadbalancing:${local.here}:listener/app/${var.name}/*",
      "arn:${var.partition}:elasticloadbalancing:${local.here}:listener-rule/app/${var.name}/*",
    ]
  }
}

# EventBridge Scheduler starts housekeeping with this role.
data "aws_iam_policy_document" "scheduler" {
  statement {
    sid     = "RunHousekeeping"
    actions = ["ecs:RunTask"]
    # The schedule names no revision, so that the newest one runs.
    resources = [
      "arn:${var.partition}:ecs:${local.here}:task-definition/${var.name}-housekeeping",
      "arn:${var.partition}:ecs:${local.here}:task-definition/${var.name}-housekeeping:*",
    ]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }

  statement {
    sid       = "TagWhatItRuns"
    actions   = ["ecs:TagResource"]
    resources = ["arn:${var.partition}:ecs:${local.here}:task/${var.name}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "PassRolesOfHousekeeping"
    actions   = ["iam:PassRole"]
    resources = ["${local.role_arn}/${var.name}-housekeeping-execution", "${local.role_arn}/${var.name}-housekeeping-task"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.${local.dns_suffix}"]
    }
  }
}

data "aws_iam_policy_document" "flow_logs" {
  statement {
    sid       = "WriteFlowLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["arn:${var.partition}:logs:${local.here}:log-group:/${var.name}/flow-logs:*"]
  }

  statement {
    sid       = "FindLogGroup"
    actions   = ["logs:DescribeLogGroups"]
    resources = ["*"]
  }
}
