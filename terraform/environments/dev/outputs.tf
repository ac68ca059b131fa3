output "api_url" {
  description = "Base URL for clients."
  value       = module.platform.api_url
}

output "bootstrap_api_key_secret" {
  description = "Secret that holds the first API key: aws secretsmanager get-secret-value --secret-id <this>."
  value       = module.platform.bootstrap_api_key_secret
}

output "distribution_domain_name" {
  description = "CloudFront's own name; the target of a DNS record that you make yourself."
  value       = module.platform.distribution_domain_name
}

output "issuer" {
  description = "Issuer of access tokens."
  value       = module.platform.issuer
}

output "user_pool_id" {
  description = "Cognito user pool; null with an issuer of your own."
  value       = module.platform.user_pool_id
}

output "client_ids" {
  description = "Client ids of the user pool by name: web, command-line and the machine clients; empty with an issuer of your own."
  value       = module.platform.client_ids
}

output "sign_in_url" {
  description = "Where people sign in and clients fetch tokens (/oauth2/authorize, /oauth2/token); null with an issuer of your own."
  value       = module.platform.sign_in_url
}

output "bucket" {
  description = "Bucket of sources and results."
  value       = module.platform.bucket
}

output "upload_events" {
  description = "Queue of the upload events and its dead letters."
  value       = module.platform.upload_events
}

# terraform output -json rollout > environment.json, for deploy/aws/rollout.py
output "rollout" {
  description = "Where a release is delivered to."
  value       = module.platform.rollout
}
