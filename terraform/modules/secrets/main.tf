# The secrets of the services. Terraform makes them with a placeholder; the rotation function (rotation.tf) writes the first
# real value right after. So no value ever passes through Terraform or its state.

locals {
  # Users alternate between `<user>_a` and `<user>_b`; see docs/decisions/0055-alternating-users.md.
  user = replace(var.name, "-", "_")

  # User `_b` does not exist yet, so the first rotation makes user `_a`. Services that start before it are refused by the
  # database and the broker; the rotation restarts them.
  placeholder = "none-before-the-first-rotation"
  first_login = jsonencode({ username = "${local.user}_b", password = local.placeholder })

  secrets = {
    database          = { description = "User of the services in the database", first = local.first_login }
    broker            = { description = "User of the services on the broker", first = local.first_login }
    bootstrap_api_key = { description = "First API key: an administrator's", first = local.placeholder }
    # Services accept this word as no key, so that they start before the first rotation.
    sealing_key = { description = "Keys that protect passwords of encrypted files", first = "none" }
  }
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57: each of them rotates, see rotation.tf; checkov does not follow the map of ARNs
  for_each = local.secrets

  name                    = "${var.name}/${replace(each.key, "_", "-")}"
  description             = each.value.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.secret_recovery_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "first" {
  for_each = local.secrets

  secret_id     = aws_secretsmanager_secret.this[each.key].id
  secret_string = each.value.first
  # Secrets Manager deletes versions without a label. INITIAL stays here when rotations move AWSCURRENT on, so this
  # version never disappears and Terraform never writes the placeholder over a rotated value.
  version_stages = ["AWSCURRENT", "INITIAL"]

  lifecycle {
    ignore_changes = [secret_string, version_stages]
  }
}
