output "amqps_endpoint" {
  description = "host:port for AMQP with TLS."
  value       = trimprefix(aws_mq_broker.this.instances[0].endpoints[0], "amqps://")
}

output "url" {
  description = "CONVERTO_RABBITMQ_URL of the services, without credentials; they come from the secret `<name>/broker`."
  value       = "amqps://${trimprefix(aws_mq_broker.this.instances[0].endpoints[0], "amqps://")}/"
}

output "console_url" {
  description = "Address of the management API and page, inside the VPC."
  value       = aws_mq_broker.this.instances[0].console_url
}

output "security_group_id" {
  description = "Security group of the broker."
  value       = aws_security_group.this.id
}

output "bootstrap_secret_arn" {
  description = "Secret of the broker's administrator; only the rotation function reads it."
  value       = aws_secretsmanager_secret.bootstrap.arn

  # The secret is of use only after it has a value and the broker knows it.
  depends_on = [aws_mq_broker.this, aws_secretsmanager_secret_version.bootstrap]
}

output "broker_id" {
  description = "Id of the broker."
  value       = aws_mq_broker.this.id
}

output "broker_name" {
  description = "Name of the broker; the dimension of its CloudWatch metrics."
  value       = aws_mq_broker.this.broker_name
}
