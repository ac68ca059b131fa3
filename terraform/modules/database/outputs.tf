output "endpoint" {
  description = "Host name that always leads to the writer."
  value       = aws_docdb_cluster.this.endpoint

  # A cluster without instances has an address, but nobody answers there.
  depends_on = [aws_docdb_cluster_instance.this]
}

output "reader_endpoint" {
  description = "Host name that leads to one of the replicas."
  value       = aws_docdb_cluster.this.reader_endpoint
}

output "port" {
  description = "TCP port."
  value       = local.port
}

output "url" {
  description = "CONVERTO_MONGODB_URL of the services, without credentials; they come from the secret `<name>/database`."
  value = format(
    "mongodb://%s:%d/?tls=true&tlsCAFile=%s&replicaSet=rs0&readPreference=primary&retryWrites=false",
    aws_docdb_cluster.this.endpoint, local.port, var.ca_file,
  )

  depends_on = [aws_docdb_cluster_instance.this]
}

output "master_secret_arn" {
  description = "Secret that DocumentDB made for the master user; only the rotation function reads it."
  value       = one(aws_docdb_cluster.this.master_user_secret[*].secret_arn)
}

output "security_group_id" {
  description = "Security group of the cluster."
  value       = aws_security_group.this.id
}

output "cluster_identifier" {
  description = "Name of the cluster; the dimension of its CloudWatch metrics."
  value       = aws_docdb_cluster.this.cluster_identifier
}

output "cluster_arn" {
  description = "ARN of the cluster, for backups."
  value       = aws_docdb_cluster.this.arn
}

output "instance_identifiers" {
  description = "Names of the instances."
  value       = [for instance in aws_docdb_cluster_instance.this : instance.identifier]
}
