mock_provider "aws" {
  mock_resource "aws_cognito_user_pool" {
    defaults = { endpoint = "cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Test" }
  }
}

variables {
  name          = "converto-test"
  callback_urls = ["https://converto.example/signed-in"]
  tags          = { environment = "test" }
}

run "the_pool_is_protected" {
  command = apply

  assert {
    condition     = aws_cognito_user_pool.this[0].deletion_protection == "ACTIVE" && aws_cognito_user_pool.this[0].mfa_configuration == "ON"
    error_message = "Deletion protection and the second factor must be on by default."
  }

  assert {
    condition     = one(aws_cognito_user_pool.this[0].admin_create_user_config).allow_admin_create_user_only
    error_message = "Nobody may make an account without an administrator by default."
  }

  assert {
    condition     = one(aws_cognito_user_pool.this[0].password_policy).minimum_length >= 14
    error_message = "Passwords must have at least 14 characters."
  }

  assert {
    condition     = aws_cognito_user_pool.this[0].tags["environment"] == "test"
    error_message = "The tags must reach the pool."
  }
}

run "browsers_use_the_code_flow_without_a_secret" {
  command = apply

  assert {
    condition     = aws_cognito_user_pool_client.public["web"].allowed_oauth_flows == toset(["code"]) && !aws_cognito_user_pool_client.public["web"].generate_secret
    error_message = "A browser cannot keep a secret and must use the authorization code."
  }

  assert {
    condition     = !contains(aws_cognito_user_pool_client.public["web"].allowed_oauth_scopes, "converto/admin")
    error_message = "People must not get the scope admin by default."
  }

  assert {
    condition     = aws_cognito_user_pool_client.public["web"].explicit_auth_flows == toset(["ALLOW_REFRESH_TOKEN_AUTH"])
    error_message = "Passwords must go to the sign-in page only."
  }
}

run "refuses_a_machine_client_with_a_taken_name" {
  command         = plan
  expect_failures = [var.machine_clients]

  variables {
    machine_clients = { web = ["conversions:read"] }
  }
}

run "refuses_a_machine_client_without_a_scope" {
  command         = plan
  expect_failures = [var.machine_clients]

  variables {
    machine_clients = { reports = [] }
  }
}

run "machines_get_their_own_scopes" {
  command = apply

  variables {
    machine_clients = { smoke-test = ["conversions:read", "conversions:write"] }
  }

  assert {
    condition     = aws_cognito_user_pool_client.machine["smoke-test"].allowed_oauth_scopes == toset(["converto/conversions:read", "converto/conversions:write"])
    error_message = "A machine client must get the scopes it was given."
  }

  assert {
    condition     = aws_cognito_user_pool_client.machine["smoke-test"].allowed_oauth_flows == toset(["client_credentials"])
    error_message = "A machine client must use its own credentials."
  }
}

run "the_command_line_waits_on_fixed_local_ports" {
  command = apply

  variables {
    command_line_ports = [8976]
  }

  assert {
    condition     = aws_cognito_user_pool_client.public["command-line"].callback_urls == toset(["http://localhost:8976/callback"])
    error_message = "The sign-in page must be able to return to the command line program."
  }
}

run "outputs_are_what_the_file_service_needs" {
  command = apply

  assert {
    condition = (
      output.issuer == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Test"
      && output.jwks_url == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Test/.well-known/jwks.json"
    )
    error_message = "Issuer and keys must be Cognito's."
  }

  assert {
    condition     = output.audiences == [aws_cognito_user_pool_client.public["web"].id] && output.scope_prefix == "converto/"
    error_message = "The audiences must be the clients."
  }

  assert {
    condition     = toset(output.scopes) == toset(["converto/admin", "converto/conversions:read", "converto/conversions:write"])
    error_message = "The scopes must be those of the resource server."
  }
}

run "an_issuer_of_your_own_makes_no_pool" {
  command = apply

  variables {
    oidc = {
      issuer    = "https://sso.example/realms/company"
      audiences = ["converto"]
      jwks_url  = "https://sso.example/realms/company/protocol/openid-connect/certs"
    }
  }

  assert {
    condition     = length(aws_cognito_user_pool.this) + length(aws_cognito_user_pool_client.public) + length(aws_cognito_user_pool_domain.this) == 0
    error_message = "No Cognito resource must be made."
  }

  assert {
    condition     = output.issuer == "https://sso.example/realms/company" && output.audiences == tolist(["converto"]) && output.scope_prefix == ""
    error_message = "The outputs must be those of the given issuer."
  }
}

run "refuses_unusable_settings" {
  command = plan

  variables {
    name                 = "9lives"
    domain_prefix        = "my-cognito"
    callback_urls        = ["http://converto.example"]
    command_line_ports   = [80]
    machine_clients      = { bot = ["everything"] }
    user_scopes          = ["root"]
    mfa                  = "OFF"
    user_pool_tier       = "LITE"
    access_token_minutes = 1
  }

  expect_failures = [
    var.name, var.domain_prefix, var.callback_urls, var.command_line_ports, var.machine_clients, var.user_scopes, var.mfa,
    var.user_pool_tier, var.access_token_minutes,
  ]
}

run "refuses_an_issuer_without_tls_or_audience" {
  command = plan

  variables {
    oidc = { issuer = "http://sso.example", audiences = [], jwks_url = "https://sso.example/certs" }
  }

  expect_failures = [var.oidc]
}
