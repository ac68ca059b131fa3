output "api_url" {
  description = "Base URL for clients; the API is below /api/v1. Set it as CONVERTO_PUBLIC_URL."
  value       = local.public_url
}

output "stream_url" {
  description = "Base URL of the event streams: the same as `api_url`, because CloudFront tells them apart by path."
  value       = local.public_url
}

output "gateway_url" {
  description = "The HTTP API's own address. It works without CloudFront, except for event streams."
  value       = aws_apigatewayv2_api.this.api_endpoint
}

output "api_id" {
  description = "Id of the HTTP API."
  value       = aws_apigatewayv2_api.this.id
}

output "authorizer_id" {
  description = "Id of the JWT authorizer."
  value       = aws_apigatewayv2_authorizer.jwt.id
}

output "route_keys" {
  description = "Keys of the routes, which `throttles` may name."
  value       = sort(keys(local.routes))
}

output "vpc_link_security_group_id" {
  description = "Security group of the VPC link, which the load balancer lets in."
  value       = aws_security_group.link.id
}

output "distribution_id" {
  description = "Id of the CloudFront distribution."
  value       = aws_cloudfront_distribution.this.id
}

output "distribution_arn" {
  description = "ARN of the CloudFront distribution."
  value       = aws_cloudfront_distribution.this.arn
}

output "distribution_domain_name" {
  description = "The distribution's own name below cloudfront.net."
  value       = aws_cloudfront_distribution.this.domain_name
}

output "service_environment" {
  description = "Settings of the file service that follow from the limits of the API. Merge them into its environment."
  value       = local.service_environment
}

output "web_acl_arns" {
  description = "ARNs of the web ACLs by place: `cloudfront`, `load_balancer`."
  value = var.waf ? {
    cloudfront    = module.web_acl_cloudfront[0].arn
    load_balancer = module.web_acl_load_balancer[0].arn
  } : {}
}

output "log_groups" {
  description = "Log groups by source."
  value = merge(
    { api = aws_cloudwatch_log_group.api.name, cloudfront = aws_cloudwatch_log_group.cloudfront.name },
    var.waf ? {
      waf_cloudfront    = module.web_acl_cloudfront[0].log_group
      waf_load_balancer = module.web_acl_load_balancer[0].log_group
    } : {},
  )
}

output "alarm_names" {
  description = "Alarms of the way in, which a deployment may watch beside those of the service."
  value       = [aws_cloudwatch_metric_alarm.errors.alarm_name]
}
