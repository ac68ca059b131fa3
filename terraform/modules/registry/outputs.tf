output "repository_urls" {
  description = "Address of each repository, without a tag or a digest."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "repository_arns" {
  description = "ARN of each repository."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}

output "registry" {
  description = "Host name of the registry, for ECR_REGISTRY in GitHub."
  value       = split("/", values(aws_ecr_repository.this)[0].repository_url)[0]
}
