# Access logs of the bucket and of the load balancer. The load balancer can write only to buckets with keys of S3.

locals {
  access_log_bucket = "${var.name}-access-logs-${var.account_id}"
  access_log_arn    = "arn:${var.partition}:s3:::${local.access_log_bucket}"
}

resource "aws_s3_bucket" "access_logs" {
  #checkov:skip=CKV_AWS_145: the load balancer can write its logs only to a bucket that is encrypted with keys of S3
  #checkov:skip=CKV_AWS_18: logging the access to the access logs into themselves would never end
  #checkov:skip=CKV_AWS_144: access logs are not worth a copy in another region
  #checkov:skip=CKV2_AWS_62: nobody waits for an access log

  bucket        = local.access_log_bucket
  force_destroy = var.force_destroy
  tags          = merge(var.tags, { Name = local.access_log_bucket })
}

resource "aws_s3_bucket_ownership_controls" "access_logs" {
  bucket = aws_s3_bucket.access_logs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "access_logs" {
  bucket                  = aws_s3_bucket.access_logs.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "access_logs" {
  bucket = aws_s3_bucket.access_logs.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "access_logs" {
  bucket = aws_s3_bucket.access_logs.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "access_logs" {
  bucket = aws_s3_bucket.access_logs.id

  rule {
    id     = "expire-logs"
    status = "Enabled"
    filter {}

    expiration {
      days = var.access_log_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  depends_on = [aws_s3_bucket_versioning.access_logs]
}

resource "aws_s3_bucket_policy" "access_logs" {
  bucket = aws_s3_bucket.access_logs.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "s3:*"
        Resource  = [local.access_log_arn, "${local.access_log_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "LogsOfTheBucket"
        Effect    = "Allow"
        Principal = { Service = "logging.s3.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${local.access_log_arn}/s3/*"
        Condition = {
          ArnLike      = { "aws:SourceArn" = local.arn }
          StringEquals = { "aws:SourceAccount" = var.account_id }
        }
      },
      {
        # The load balancer writes to <prefix>/AWSLogs/<account>/; its service principal sends no source account.
        Sid       = "LogsOfTheLoadBalancer"
        Effect    = "Allow"
        Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${local.access_log_arn}/load-balancer/AWSLogs/${var.account_id}/*"
      },
      {
        # Services that deliver through CloudWatch vended logs: CloudFront and the resolver.
        Sid       = "LogsOfTheEdge"
        Effect    = "Allow"
        Principal = { Service = "delivery.logs.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${local.access_log_arn}/edge/*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id, "s3:x-amz-acl" = "bucket-owner-full-control" } }
      },
    ]
  })

  depends_on = [aws_s3_bucket_public_access_block.access_logs]
}
