mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
}

variables {
  name          = "converto-test"
  kms_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  resource_arns = ["arn:aws:rds:eu-central-1:123456789012:cluster:converto-test"]
}

run "backups_are_daily_encrypted_and_kept" {
  command = apply

  assert {
    condition     = aws_backup_vault.this.name == "converto-test" && aws_backup_vault.this.kms_key_arn == var.kms_key_arn
    error_message = "The vault carries the environment and is encrypted with the given key."
  }

  assert {
    condition     = one(aws_backup_plan.this.rule).schedule == "cron(15 6 * * ? *)" && one(one(aws_backup_plan.this.rule).lifecycle).delete_after == 35
    error_message = "A recovery point each night, kept for 35 days."
  }

  assert {
    condition     = toset(aws_backup_selection.this.resources) == toset(var.resource_arns)
    error_message = "The given resources are backed up."
  }
}

run "recovery_points_cannot_be_deleted_early" {
  command = apply

  assert {
    condition = alltrue([
      for policy in aws_backup_vault_policy.this :
      jsondecode(policy.policy).Statement[0].Effect == "Deny" && contains(jsondecode(policy.policy).Statement[0].Action, "backup:DeleteRecoveryPoint")
    ]) && length(aws_backup_vault_policy.this) == 1
    error_message = "The vault refuses deletion by everybody."
  }

  assert {
    condition     = !aws_backup_vault.this.force_destroy
    error_message = "A destroy must not delete recovery points by default."
  }
}

run "no_lock_unless_asked_for" {
  command = plan

  assert {
    condition     = length(aws_backup_vault_lock_configuration.this) == 0
    error_message = "A lock can be final, so it is never a default."
  }
}

run "removable_lock" {
  command = apply

  variables {
    lock = { min_retention_days = 7, max_retention_days = 400 }
  }

  assert {
    condition     = one(aws_backup_vault_lock_configuration.this).changeable_for_days == null && one(aws_backup_vault_lock_configuration.this).min_retention_days == 7
    error_message = "Without changeable_for_days the lock can be removed."
  }
}

run "copies_go_to_another_region" {
  command = apply

  variables {
    copy_destination = { vault_arn = "arn:aws:backup:eu-west-1:123456789012:backup-vault:converto-test", retention_days = 14 }
  }

  assert {
    condition     = one(one(aws_backup_plan.this.rule).copy_action).destination_vault_arn == "arn:aws:backup:eu-west-1:123456789012:backup-vault:converto-test"
    error_message = "Each recovery point is copied to the vault."
  }
}

run "failures_reach_somebody" {
  command = apply

  variables {
    alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
  }

  assert {
    condition     = contains(one(aws_backup_vault_notifications.this).backup_vault_events, "BACKUP_JOB_FAILED")
    error_message = "A failed backup is reported."
  }
}

run "plan_of_nothing_is_refused" {
  command = plan

  variables {
    resource_arns = []
  }

  expect_failures = [var.selection_tag]
}

run "lock_that_fails_every_backup_is_refused" {
  command = plan

  variables {
    lock = { min_retention_days = 90, max_retention_days = 400 }
  }

  expect_failures = [var.lock]
}

run "lock_that_is_final_at_once_is_refused" {
  command = plan

  variables {
    lock = { min_retention_days = 7, max_retention_days = 400, changeable_for_days = 1 }
  }

  expect_failures = [var.lock]
}

run "short_retention_is_refused" {
  command = plan

  variables {
    retention_days = 1
  }

  expect_failures = [var.retention_days]
}
