# The bucket and the key of the state refuse to be destroyed, so no run applies; the made-up values are known at plan.
mock_provider "aws" {
  override_during = plan

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = { repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/mock" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/converto-mock-boundary" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = {
      json          = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
      minified_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
    }
  }
}

variables {
  account_id        = "123456789012"
  region            = "eu-central-1"
  repository        = "example/converto"
  monthly_limit_usd = 2000
  emails            = ["operations@example.com"]
}

run "state_is_encrypted_versioned_and_private" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "converto-state-123456789012"
    error_message = "The bucket carries the account."
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.state.versioning_configuration).status == "Enabled"
    error_message = "A damaged state has to be recoverable."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.state.arn && aws_kms_key.state.enable_key_rotation
    error_message = "The state is encrypted with a rotating key of its own."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls, aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls, aws_s3_bucket_public_access_block.state.restrict_public_buckets,
    ])
    error_message = "The state is never public."
  }

  assert {
    condition = alltrue([
      for sid in ["RefusePlainHttp", "RefuseOtherAccounts"] :
      contains([for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement : statement.Sid if statement.Effect == "Deny"], sid)
    ])
    error_message = "TLS only, this account only."
  }
}

run "backend_names_bucket_region_and_key" {
  command = plan

  assert {
    condition     = output.backend_config == "bucket     = \"converto-state-123456789012\"\nregion     = \"eu-central-1\"\nkms_key_id = \"${aws_kms_key.state.arn}\"\n"
    error_message = "The text is that of backend.hcl."
  }

  assert {
    condition     = output.github_variables["dev-plan"].BACKEND == output.backend_config
    error_message = "Workflows initialise Terraform with the same text."
  }
}

run "plans_expire_and_states_do_not" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for rule in aws_s3_bucket_lifecycle_configuration.state.rule : [
        for expiration in rule.expiration : endswith(one(rule.filter).prefix, "/plans/")
      ]
    ]))
    error_message = "No rule may expire a current state."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.state.rule) == 4
    error_message = "One rule for old versions, and one for the plans of each environment."
  }
}

run "every_environment_has_roles_and_a_boundary" {
  command = plan

  assert {
    condition     = keys(output.boundary_arns) == ["dev", "production", "staging"]
    error_message = "One boundary for each environment."
  }

  assert {
    condition     = toset(keys(output.github_variables)) == toset(["dev", "dev-plan", "staging", "staging-plan", "production", "production-plan", "registry"])
    error_message = "GitHub needs two environments for each of ours, and one for the images."
  }

  assert {
    condition     = output.github_variables["production"].PLANS == "s3://converto-state-123456789012/production/plans"
    error_message = "Plans are kept beside the state of their environment."
  }
}

run "images_are_pushed_to_our_repositories_only" {
  command = plan

  assert {
    condition = alltrue([
      for statement in jsondecode(local.publish_policy).Statement :
      statement.Action == "ecr:GetAuthorizationToken" || alltrue([
        for arn in flatten([statement.Resource]) : startswith(arn, "arn:aws:ecr:eu-central-1:123456789012:repository/converto/")
      ])
    ])
    error_message = "Only the call without a resource may name all resources."
  }

  assert {
    condition     = !strcontains(local.publish_policy, "Delete")
    error_message = "A workflow can push images and delete none."
  }
}

run "reserved_environment_is_refused" {
  command = plan

  variables {
    environments = ["state"]
  }

  expect_failures = [var.environments]
}

run "names_that_begin_alike_are_refused" {
  command = plan

  variables {
    environments = ["dev", "dev-two"]
  }

  expect_failures = [var.environments]
}

run "zones_of_unknown_environments_are_refused" {
  command = plan

  variables {
    hosted_zone_ids = { test = ["Z0123456789ABCDEFGHIJ"] }
  }

  expect_failures = [var.hosted_zone_ids]
}
