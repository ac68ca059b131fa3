mock_provider "aws" {
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mock" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
}

variables {
  name         = "converto-test"
  account_id   = "123456789012"
  kms_key_arn  = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  cors_origins = ["https://converto.example.com"]
}

run "objects_are_private_encrypted_and_versioned" {
  command = apply

  assert {
    condition     = aws_s3_bucket.objects.bucket == "converto-test-objects-123456789012" && aws_s3_bucket.access_logs.bucket == "converto-test-access-logs-123456789012"
    error_message = "Bucket names carry the environment and the account."
  }

  assert {
    condition = alltrue([
      for block in [aws_s3_bucket_public_access_block.objects, aws_s3_bucket_public_access_block.access_logs] :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "All four blocks of public access must be on for both buckets."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.objects.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn
    error_message = "Objects are encrypted with the given key."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.objects.rule).bucket_key_enabled
    error_message = "The bucket key keeps the calls to KMS few."
  }

  assert {
    condition = alltrue([
      for versioning in [aws_s3_bucket_versioning.objects, aws_s3_bucket_versioning.access_logs] :
      one(versioning.versioning_configuration).status == "Enabled"
    ])
    error_message = "Both buckets are versioned."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.objects.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "Access lists must be off."
  }

  assert {
    condition     = !aws_s3_bucket.objects.force_destroy
    error_message = "By default a destroy must not delete objects."
  }
}

run "no_rule_expires_a_live_object" {
  command = apply

  assert {
    condition = alltrue(flatten([
      for rule in aws_s3_bucket_lifecycle_configuration.objects.rule : [
        for expiration in rule.expiration : coalesce(expiration.days, 0) == 0 && expiration.date == null
      ]
    ]))
    error_message = "Live objects are deleted by the application's retention only."
  }

  assert {
    condition = anytrue(flatten([
      for rule in aws_s3_bucket_lifecycle_configuration.objects.rule : [
        for expiration in rule.noncurrent_version_expiration : expiration.noncurrent_days == 7
      ]
    ]))
    error_message = "Deleted objects can be brought back for a week and cost nothing afterwards."
  }

  assert {
    condition = anytrue(flatten([
      for rule in aws_s3_bucket_lifecycle_configuration.objects.rule : [
        for abort in rule.abort_incomplete_multipart_upload : abort.days_after_initiation == 2
      ]
    ]))
    error_message = "Unfinished uploads are removed."
  }
}

run "policy_refuses_plain_http_and_other_keys" {
  command = apply

  assert {
    condition = alltrue([
      for policy in [aws_s3_bucket_policy.objects.policy, aws_s3_bucket_policy.access_logs.policy] : anytrue([
        for statement in jsondecode(policy).Statement :
        statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"] == "false", false) && statement.Action == "s3:*"
      ])
    ])
    error_message = "Both buckets refuse requests without TLS."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.objects.policy).Statement : statement.Effect == "Deny"
    ])
    error_message = "The policy of the bucket grants nothing; roles do."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.objects.policy).Statement :
      try(statement.Condition.StringNotEquals["s3:x-amz-server-side-encryption-aws-kms-key-id"] == var.kms_key_arn, false)
      && try(statement.Condition.Null["s3:x-amz-server-side-encryption-aws-kms-key-id"] == "false", false)
    ])
    error_message = "Uploads that name another key are refused; uploads that name none are not."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.access_logs.policy).Statement : strcontains(jsonencode(statement), var.account_id)
      if statement.Effect == "Allow"
    ])
    error_message = "Only logs of this account are admitted."
  }
}

run "only_named_pages_may_use_the_bucket" {
  command = apply

  assert {
    condition     = one(one(aws_s3_bucket_cors_configuration.objects).cors_rule).allowed_origins == toset(["https://converto.example.com"])
    error_message = "CORS admits the named origins only."
  }

  assert {
    condition     = contains(one(one(aws_s3_bucket_cors_configuration.objects).cors_rule).expose_headers, "ETag")
    error_message = "A multipart upload in the browser has to read the ETag of each part."
  }
}

run "no_cors_without_a_page" {
  command = plan

  variables {
    cors_origins = []
  }

  assert {
    condition     = length(aws_s3_bucket_cors_configuration.objects) == 0
    error_message = "Without origins there is no CORS rule."
  }
}

run "further_statements_join_the_policy" {
  command = apply

  variables {
    bucket_policy_statements = ["{\"Sid\":\"Extra\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:DeleteBucket\",\"Resource\":\"*\"}"]
  }

  assert {
    condition     = contains([for statement in jsondecode(aws_s3_bucket_policy.objects.policy).Statement : statement.Sid], "Extra")
    error_message = "Statements of the caller are added."
  }
}

run "replication_copies_encrypted_objects_with_a_role_of_its_own" {
  command = apply

  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/converto-test-boundary"

    replication = {
      destination_bucket_arn  = "arn:aws:s3:::converto-test-replica"
      destination_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001"
    }
  }

  assert {
    condition     = one(aws_iam_role.replication).permissions_boundary == "arn:aws:iam::123456789012:policy/converto-test-boundary"
    error_message = "The role is made within the boundary."
  }

  assert {
    condition     = one(one(one(aws_s3_bucket_replication_configuration.objects).rule).destination).bucket == "arn:aws:s3:::converto-test-replica"
    error_message = "Objects are copied to the given bucket."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(one(aws_iam_role_policy.replication).policy).Statement : statement.Resource != "*"
    ])
    error_message = "The role of the replication reaches the two buckets and keys only."
  }
}

run "wildcard_origin_is_refused" {
  command = plan

  variables {
    cors_origins = ["*"]
  }

  expect_failures = [var.cors_origins]
}

run "policy_that_admits_plain_http_is_refused" {
  command = plan

  variables {
    bucket_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }

  expect_failures = [var.bucket_policy_json]
}

run "key_has_to_be_an_arn" {
  command = plan

  variables {
    kms_key_arn = "alias/converto-test-objects"
  }

  expect_failures = [var.kms_key_arn]
}
