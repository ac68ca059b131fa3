output "api_url" {
  description = "Base URL for clients."
  value       = module.edge.api_url
}

output "distribution_domain_name" {
  description = "CloudFront's own name; the target of a DNS record that you make yourself."
  value       = module.edge.distribution_domain_name
}

output "bootstrap_api_key_secret" {
  description = "ARN of the secret that holds the first API key, an administrator's."
  value       = module.secrets.secret_arns["bootstrap_api_key"]
}

output "issuer" {
  description = "Issuer of access tokens."
  value       = module.identity.issuer
}

output "user_pool_id" {
  description = "Cognito user pool; null with an issuer of your own."
  value       = module.identity.user_pool_id
}

output "client_ids" {
  description = "Client ids of the user pool by name: web, command-line and the machine clients; empty with an issuer of your own."
  value       = module.identity.client_ids
}

output "sign_in_url" {
  description = "Where people sign in and clients fetch tokens (/oauth2/authorize, /oauth2/token); null with an issuer of your own."
  value       = module.identity.domain == null ? null : "https://${module.identity.domain}.auth.${var.region}.amazoncognito.com"
}

output "bucket" {
  description = "Bucket of sources and results."
  value       = module.storage.bucket
}

output "upload_events" {
  description = "Queue of the upload events and its dead letters."
  value = {
    queue_url             = module.upload_events.queue_url
    dead_letter_queue_arn = module.upload_events.dead_letter_queue_arn
  }
}

output "database_cluster" {
  description = "Identifier of the DocumentDB cluster."
  value       = module.database.cluster_identifier
}

output "broker_id" {
  description = "Id of the broker."
  value       = module.broker.broker_id
}

output "vpc_id" {
  description = "VPC of the environment."
  value       = module.network.vpc_id
}

# The file that deploy/aws/rollout.py reads: terraform output -json rollout > environment.json
output "rollout" {
  description = "Cluster, services, listener rules, target groups and alarms of a release."
  value = {
    region  = var.region
    cluster = module.cluster.cluster_name
    file_service = {
      service             = module.file_service.service_name
      container           = module.file_service.container_name
      port                = module.file_service.container_port
      target_groups       = module.load_balancer.target_group_arns
      production_rule     = module.load_balancer.prod_rule_arn
      test_rule           = module.load_balancer.test_rule_arn
      infrastructure_role = aws_iam_role.ecs_infrastructure.arn
      alarms              = concat(module.file_service.alarm_names, module.edge.alarm_names)
      smoke = {
        url         = "https://${module.load_balancer.dns_name}:${module.load_balancer.test_port}"
        server_name = var.origin_name
      }
    }
    workers = [for worker, made in module.worker : {
      service   = made.service_name
      container = made.container_name
      alarms    = made.alarm_names
    }]
    scheduled = [{
      family    = module.housekeeping.task_definition_family
      container = module.housekeeping.container_name
    }]
  }
}

output "alarm_topic_arn" {
  description = "SNS topic of all alarms."
  value       = aws_sns_topic.alarms.arn
}
