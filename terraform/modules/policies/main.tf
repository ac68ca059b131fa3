# Policy documents as pure data. They are built from names and strings only, so that a plan shows each document whole
# and a test can execute them without anything else of the environment. Who attaches which one: see README.md.
#
#   main.tf        names and what several documents share
#   services.tf    the roles of the running services
#   resources.tf   what is attached to a bucket, a queue and an endpoint
#   delivery.tf    the roles of GitHub Actions
#   boundary.tf    the boundary of every role

locals {
  bucket     = coalesce(var.bucket, "${var.name}-objects-${var.account_id}")
  bucket_arn = "arn:${var.partition}:s3:::${local.bucket}"

  # The keys are those of libs/converto_core/object_keys.py. In a policy `*` also matches slashes, so these patterns
  # limit a service to a kind of object, not to an owner: the owner is checked by the file service itself.
  sources     = "${local.bucket_arn}/t/*/in/*"
  outputs     = "${local.bucket_arn}/t/*/out/*"
  bucket_mark = "${local.bucket_arn}/converto/database"

  # arn:<partition>:<service>:<here>:… of everything in this account and region
  here        = "${var.region}:${var.account_id}"
  dns_suffix  = var.partition == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com"
  cluster_arn = "arn:${var.partition}:ecs:${local.here}:cluster/${var.name}"
  queue_arn   = "arn:${var.partition}:sqs:${local.here}:${var.name}-upload-events"
  role_arn    = "arn:${var.partition}:iam::${var.account_id}:role"

  # Secrets Manager adds a hyphen and six characters to a secret's name.
  secret_arn = "arn:${var.partition}:secretsmanager:${local.here}:secret"
  own_secrets = { for secret in ["database", "broker", "bootstrap-api-key", "broker-bootstrap", "sealing-key"] :
    secret => "${local.secret_arn}:${var.name}/${secret}-??????"
  }
  database_master_secret = coalesce(var.database_master_secret_arn, "${local.secret_arn}:rds!cluster-*")

  # A load balancer's name has at most 32 characters; that of a target group needs room for the colour.
  target_groups = "arn:${var.partition}:elasticloadbalancing:${local.here}:targetgroup/${substr(var.name, 0, 26)}-*"

  repositories = "arn:${var.partition}:ecr:${local.here}:repository/${var.repository_prefix}*"
  log_groups   = "arn:${var.partition}:logs:${local.here}:log-group:/${var.name}/*"

  documents = merge(
    {
      file_service       = data.aws_iam_policy_document.file_service.minified_json
      worker             = data.aws_iam_policy_document.worker.minified_json
      housekeeping       = data.aws_iam_policy_document.housekeeping.minified_json
      execution          = data.aws_iam_policy_document.execution.minified_json
      execution_worker   = data.aws_iam_policy_document.execution_worker.minified_json
      rotation           = data.aws_iam_policy_document.rotation.minified_json
      ecs_infrastructure = data.aws_iam_policy_document.ecs_infrastructure.minified_json
      scheduler          = data.aws_iam_policy_document.scheduler.minified_json
      flow_logs          = data.aws_iam_policy_document.flow_logs.minified_json
      bucket             = data.aws_iam_policy_document.bucket.minified_json
      upload_queue       = data.aws_iam_policy_document.upload_queue.minified_json
      s3_endpoint        = data.aws_iam_policy_document.s3_endpoint.minified_json
    },
    var.delivery == null ? {} : {
      github_plan     = data.aws_iam_policy_document.github_plan[0].minified_json
      github_deploy   = data.aws_iam_policy_document.github_deploy[0].minified_json
      deploy_boundary = data.aws_iam_policy_document.deploy_boundary[0].minified_json
    },
  )
}

# What each service that uses the bucket needs besides its objects.
data "aws_iam_policy_document" "bucket_user" {
  # HeadBucket (the health check) is this action too, and carries no prefix. With it S3 answers 404 for a missing object
  # instead of 403; the services rely on that.
  statement {
    sid       = "ListObjectsOfUsers"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket_arn]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["t/*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }

  # The key works through S3 only: who takes a copy of the ciphertext elsewhere cannot decrypt it with this role.
  statement {
    sid       = "UseKeyThroughS3"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arns.objects]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.${local.dns_suffix}"]
    }
  }
}
