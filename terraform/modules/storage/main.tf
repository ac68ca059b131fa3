# The bucket of the objects. Nothing here expires a live object: the application's own retention deletes objects together
# with their records, and a rule of the bucket would delete results that users still see.

locals {
  bucket = "${var.name}-objects-${var.account_id}"
  arn    = "arn:${var.partition}:s3:::${local.bucket}"

  # {AWS = "*"} and "*" mean the same here.
  own_statements = [
    {
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:*"
      Resource  = [local.arn, "${local.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    },
    {
      Sid       = "RefuseOldTls"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:*"
      Resource  = [local.arn, "${local.arn}/*"]
      Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    },
    {
      # An upload that names no encryption gets the bucket's own. One that names another is refused, hence the Null test.
      Sid       = "RefuseOtherEncryption"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:PutObject"
      Resource  = "${local.arn}/*"
      Condition = {
        Null            = { "s3:x-amz-server-side-encryption" = "false" }
        StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
      }
    },
    {
      Sid       = "RefuseOtherKeys"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:PutObject"
      Resource  = "${local.arn}/*"
      Condition = {
        Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
        StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = var.kms_key_arn }
      }
    },
    {
      # Access lists are off by ownership; this refuses the attempt instead of ignoring it.
      Sid       = "RefusePublicAccessLists"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = ["s3:PutObject", "s3:PutObjectAcl", "s3:PutBucketAcl"]
      Resource  = [local.arn, "${local.arn}/*"]
      Condition = { StringEquals = { "s3:x-amz-acl" = ["public-read", "public-read-write", "authenticated-read"] } }
    },
  ]

  bucket_policy = coalesce(var.bucket_policy_json, jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.own_statements, [for statement in var.bucket_policy_statements : jsondecode(statement)])
  }))
}

resource "aws_s3_bucket" "objects" {
  #checkov:skip=CKV2_AWS_62: the notification to SQS is made by the upload-events module
  #checkov:skip=CKV_AWS_144: replication to another region is an option, because objects live for days and it doubles their cost

  bucket        = local.bucket
  force_destroy = var.force_destroy
  tags          = merge(var.tags, { Name = local.bucket })
}

resource "aws_s3_bucket_ownership_controls" "objects" {
  bucket = aws_s3_bucket.objects.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "objects" {
  bucket                  = aws_s3_bucket.objects.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "objects" {
  bucket = aws_s3_bucket.objects.id

  versioning_configuration {
    status = "Enabled"
  }
}

# The bucket key asks KMS once per object prefix and hour instead of once per object.
resource "aws_s3_bucket_server_side_encryption_configuration" "objects" {
  bucket = aws_s3_bucket.objects.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "objects" {
  bucket = aws_s3_bucket.objects.id

  rule {
    id     = "abort-unfinished-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_multipart_days
    }
  }

  rule {
    id     = "forget-deleted-objects"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    # Removes delete markers that hide nothing any more; it never touches an object.
    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.objects]
}

resource "aws_s3_bucket_policy" "objects" {
  bucket = aws_s3_bucket.objects.id
  policy = local.bucket_policy

  depends_on = [aws_s3_bucket_public_access_block.objects]
}

resource "aws_s3_bucket_logging" "objects" {
  bucket        = aws_s3_bucket.objects.id
  target_bucket = aws_s3_bucket.access_logs.id
  target_prefix = "s3/"

  target_object_key_format {
    partitioned_prefix {
      partition_date_source = "EventTime"
    }
  }

  depends_on = [aws_s3_bucket_policy.access_logs]
}

resource "aws_s3_bucket_cors_configuration" "objects" {
  count = length(var.cors_origins) > 0 ? 1 : 0

  bucket = aws_s3_bucket.objects.id

  cors_rule {
    id              = "pages"
    allowed_origins = var.cors_origins
    allowed_methods = ["GET", "HEAD", "PUT"]
    allowed_headers = ["authorization", "content-disposition", "content-md5", "content-type", "if-none-match", "range", "x-amz-*"]
    expose_headers  = ["Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag", "x-amz-checksum-sha256", "x-amz-request-id", "x-amz-version-id"]
    max_age_seconds = 3600
  }
}

resource "aws_s3_bucket_accelerate_configuration" "objects" {
  count = var.transfer_acceleration ? 1 : 0

  bucket = aws_s3_bucket.objects.id
  status = "Enabled"
}
