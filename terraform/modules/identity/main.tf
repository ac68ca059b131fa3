# Who may call the API: a Cognito user pool with converto's scopes, or an OpenID Connect issuer of your own.

locals {
  has_pool   = var.oidc == null
  identifier = "converto"

  scopes = {
    "conversions:read"  = "Read own files and conversions"
    "conversions:write" = "Upload files, start, cancel and delete conversions"
    "admin"             = "Administer the installation: dead letters of all owners"
  }

  # Clients for people. Both use the authorization code with PKCE and have no secret.
  public_clients = local.has_pool ? {
    for client, urls in {
      web          = var.callback_urls
      command-line = [for port in var.command_line_ports : "http://localhost:${port}/callback"]
    } : client => urls if length(urls) > 0
  } : {}

  machine_clients = local.has_pool ? var.machine_clients : {}
}

resource "aws_cognito_user_pool" "this" {
  count = local.has_pool ? 1 : 0

  name                     = var.name
  user_pool_tier           = var.user_pool_tier
  deletion_protection      = var.deletion_protection ? "ACTIVE" : "INACTIVE"
  username_attributes      = ["email"]
  auto_verified_attributes = ["email"]
  mfa_configuration        = var.mfa
  tags                     = var.tags

  admin_create_user_config {
    allow_admin_create_user_only = !var.self_registration
  }

  username_configuration {
    case_sensitive = false
  }

  password_policy {
    minimum_length                   = 14
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = true
    require_uppercase                = true
    password_history_size            = 5
    temporary_password_validity_days = 3
  }

  software_token_mfa_configuration {
    enabled = true
  }

  account_recovery_setting {
    recovery_mechanism {
      name     = "verified_email"
      priority = 1
    }
  }

  user_attribute_update_settings {
    attributes_require_verification_before_update = ["email"]
  }

  dynamic "user_pool_add_ons" {
    for_each = var.user_pool_tier == "PLUS" ? ["ENFORCED"] : []

    content {
      advanced_security_mode = user_pool_add_ons.value
    }
  }
}

resource "aws_cognito_resource_server" "this" {
  count = local.has_pool ? 1 : 0

  identifier   = local.identifier
  name         = "converto"
  user_pool_id = aws_cognito_user_pool.this[0].id

  dynamic "scope" {
    for_each = local.scopes

    content {
      scope_name        = scope.key
      scope_description = scope.value
    }
  }
}

resource "aws_cognito_user_pool_domain" "this" {
  count = local.has_pool ? 1 : 0

  domain       = coalesce(var.domain_prefix, var.name)
  user_pool_id = aws_cognito_user_pool.this[0].id
}

resource "aws_cognito_user_pool_client" "public" {
  for_each = local.public_clients

  name                                 = "${var.name}-${each.key}"
  user_pool_id                         = aws_cognito_user_pool.this[0].id
  generate_secret                      = false
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["code"]
  allowed_oauth_scopes                 = concat(["openid", "email"], [for scope in var.user_scopes : "${local.identifier}/${scope}"])
  explicit_auth_flows                  = ["ALLOW_REFRESH_TOKEN_AUTH"] # passwords go to the sign-in page only
  supported_identity_providers         = ["COGNITO"]
  callback_urls                        = each.value
  logout_urls                          = each.key == "web" ? var.logout_urls : []
  prevent_user_existence_errors        = "ENABLED"
  enable_token_revocation              = true
  access_token_validity                = var.access_token_minutes
  id_token_validity                    = var.access_token_minutes
  refresh_token_validity               = var.refresh_token_days

  token_validity_units {
    access_token  = "minutes"
    id_token      = "minutes"
    refresh_token = "days"
  }

  # Cognito knows the scopes only after the resource server exists.
  depends_on = [aws_cognito_resource_server.this]
}

resource "aws_cognito_user_pool_client" "machine" {
  for_each = local.machine_clients

  name                                 = "${var.name}-${each.key}"
  user_pool_id                         = aws_cognito_user_pool.this[0].id
  generate_secret                      = true
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["client_credentials"]
  allowed_oauth_scopes                 = [for scope in each.value : "${local.identifier}/${scope}"]
  explicit_auth_flows                  = ["ALLOW_REFRESH_TOKEN_AUTH"] # Cognito requires one; the flow above decides
  prevent_user_existence_errors        = "ENABLED"
  enable_token_revocation              = true
  access_token_validity                = var.access_token_minutes

  token_validity_units {
    access_token = "minutes"
  }

  depends_on = [aws_cognito_resource_server.this]
}
