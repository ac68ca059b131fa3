output "documents" {
  description = "Policy documents as JSON, by name. github_plan, github_deploy and deploy_boundary are there when `delivery` is set."
  value       = local.documents
}

output "bucket" {
  description = "Name of the bucket that the documents speak of."
  value       = local.bucket
}
