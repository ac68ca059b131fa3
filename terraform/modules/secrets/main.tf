# The secrets of the services. No value enters the state: they are written by write-only arguments and soon replaced by
# the rotation function (rotation.tf).

locals {
  # Users alternate between `<user>_a` and `<user>_b`; see docs/decisions/0055-alternating-users.md.
  user = replace(var.name, "-", "_")

  secrets = {
    database          = "User of the services in the database"
    broker            = "User of the services on the broker"
    bootstrap_api_key = "First API key: an administrator's"
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name                    = "${var.name}/${replace(each.key, "_", "-")}"
  description             = each.value
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.secret_recovery_days
  tags                    = var.tags
}

ephemeral "aws_secretsmanager_random_password" "login" {
  password_length     = 48
  exclude_punctuation = true # valid everywhere: Amazon MQ refuses commas, colons and equals signs
}

ephemeral "aws_secretsmanager_random_password" "key_id" {
  password_length     = 12
  exclude_punctuation = true
  exclude_uppercase   = true
}

ephemeral "aws_secretsmanager_random_password" "key_secret" {
  password_length     = 64
  exclude_punctuation = true
}

# The first version names user `_b`, which does not exist yet. The first rotation, at once, makes user `_a`.
resource "aws_secretsmanager_secret_version" "login" {
  for_each = toset(["database", "broker"])

  secret_id = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo = jsonencode({
    username = "${local.user}_b"
    password = ephemeral.aws_secretsmanager_random_password.login.random_password
  })
  secret_string_wo_version = 1
  # Secrets Manager deletes versions without a label. INITIAL stays here when rotations move AWSCURRENT on, so this
  # version never disappears and Terraform never writes a new one over a rotated password.
  version_stages = ["AWSCURRENT", "INITIAL"]

  lifecycle {
    ignore_changes = [version_stages]
  }
}

resource "aws_secretsmanager_secret_version" "bootstrap_api_key" {
  secret_id = aws_secretsmanager_secret.this["bootstrap_api_key"].id
  secret_string_wo = format(
    "cvt_%s_%s",
    ephemeral.aws_secretsmanager_random_password.key_id.random_password,
    ephemeral.aws_secretsmanager_random_password.key_secret.random_password,
  )
  secret_string_wo_version = 1
  version_stages           = ["AWSCURRENT", "INITIAL"] # see above

  lifecycle {
    ignore_changes = [version_stages]
  }
}
