output "api_url" {
  description = "CONVERTO_SERVER_URL of clients."
  value       = module.converto.api_url
}

output "bootstrap_api_key_secret" {
  description = "Secret that holds the first API key."
  value       = module.converto.bootstrap_api_key_secret
}
