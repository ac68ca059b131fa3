mock_provider "aws" {}

variables {
  name       = "converto-test"
  account_id = "123456789012"
  region     = "eu-central-1"
  partition  = "aws"
}

run "every_key_rotates_and_can_be_rescued" {
  command = apply

  assert {
    condition     = toset(keys(output.key_arns)) == toset(["objects", "database", "secrets", "logs"])
    error_message = "One key for objects, database, secrets and logs each."
  }

  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.enable_key_rotation && key.rotation_period_in_days == 365])
    error_message = "Every key has to rotate."
  }

  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.deletion_window_in_days == 30])
    error_message = "A deleted key has to be recoverable for 30 days."
  }

  assert {
    condition     = output.alias_names["objects"] == "alias/converto-test-objects"
    error_message = "The alias carries the name of the environment."
  }
}

run "only_the_key_of_the_logs_names_services" {
  command = plan

  assert {
    condition = alltrue([
      for kind in ["objects", "database", "secrets"] :
      length(jsondecode(aws_kms_key.this[kind].policy).Statement) == 1 &&
      jsondecode(aws_kms_key.this[kind].policy).Statement[0].Principal.AWS == "arn:aws:iam::123456789012:root"
    ])
    error_message = "Keys of objects, database and secrets are used through IAM only."
  }

  assert {
    condition = one([
      for statement in jsondecode(aws_kms_key.this["logs"].policy).Statement : statement.Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"]
      if statement.Sid == "CloudWatchLogsOfThisEnvironment"
    ]) == "arn:aws:logs:eu-central-1:123456789012:log-group:*converto-test*"
    error_message = "CloudWatch Logs may use the key for log groups of this environment only."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_kms_key.this["logs"].policy).Statement : can(statement.Condition)
      if can(statement.Principal.Service) && try(statement.Principal.Service, "") != "backup.amazonaws.com"
    ])
    error_message = "A service may use a key on behalf of this account only; AWS documents no condition for AWS Backup."
  }
}

run "short_deletion_window_is_refused" {
  command = plan

  variables {
    deletion_window_days = 3
  }

  expect_failures = [var.deletion_window_days]
}

run "account_number_must_have_twelve_digits" {
  command = plan

  variables {
    account_id = "1234"
  }

  expect_failures = [var.account_id]
}

run "name_in_capitals_is_refused" {
  command = plan

  variables {
    name = "Converto"
  }

  expect_failures = [var.name]
}
