output "issuer" {
  description = "CONVERTO_JWT_ISSUER: the `iss` of every accepted token."
  value       = local.has_pool ? "https://${aws_cognito_user_pool.this[0].endpoint}" : var.oidc.issuer
}

output "audiences" {
  description = "CONVERTO_JWT_AUDIENCE. Cognito's access tokens carry them as `client_id`, other issuers' as `aud`."
  value = local.has_pool ? concat(
    [for client in aws_cognito_user_pool_client.public : client.id],
    [for client in aws_cognito_user_pool_client.machine : client.id],
  ) : var.oidc.audiences
}

output "jwks_url" {
  description = "CONVERTO_JWT_JWKS_URL: where the issuer publishes its keys."
  value       = local.has_pool ? "https://${aws_cognito_user_pool.this[0].endpoint}/.well-known/jwks.json" : var.oidc.jwks_url
}

output "scope_prefix" {
  description = "CONVERTO_JWT_SCOPE_PREFIX: what stands before a scope's name in a token."
  value       = local.has_pool ? "${local.identifier}/" : ""
}

output "scopes" {
  description = "All scopes as they stand in a token."
  value       = local.has_pool ? [for scope in keys(local.scopes) : "${local.identifier}/${scope}"] : var.oidc.scopes
}

output "client_ids" {
  description = "Ids of the clients by name: web, command-line and the machine clients."
  value = merge(
    { for client, made in aws_cognito_user_pool_client.public : client => made.id },
    { for client, made in aws_cognito_user_pool_client.machine : client => made.id },
  )
}

output "user_pool_id" {
  description = "Id of the user pool; null with an issuer of your own."
  value       = one(aws_cognito_user_pool.this[*].id)
}

output "domain" {
  description = "Prefix of the sign-in page's host name; null with an issuer of your own."
  value       = one(aws_cognito_user_pool_domain.this[*].domain)
}
