output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
  # Otherwise a service could be made before the capacity providers that it names.
  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "capacity_providers" {
  description = "Names of the capacity providers that services may use."
  value       = aws_ecs_cluster_capacity_providers.this.capacity_providers
}

output "exec_log_group" {
  description = "Log group of commands that were run in containers."
  value       = aws_cloudwatch_log_group.exec.name
}
