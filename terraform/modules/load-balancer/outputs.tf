output "arn" {
  description = "ARN of the load balancer."
  value       = aws_lb.this.arn
}

output "arn_suffix" {
  description = "Last part of the ARN, as CloudWatch names the load balancer."
  value       = aws_lb.this.arn_suffix
}

output "dns_name" {
  description = "DNS name of the load balancer, which resolves to private addresses."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "Hosted zone of `dns_name`, for an alias record."
  value       = aws_lb.this.zone_id
}

output "security_group_id" {
  description = "Security group of the load balancer. The service module adds the way out to its tasks."
  value       = aws_security_group.this.id
}

output "prod_listener_arn" {
  description = "Listener that serves production traffic (port 443)."
  value       = aws_lb_listener.this["prod"].arn
}

output "test_listener_arn" {
  description = "Listener that serves the new version before the traffic is shifted."
  value       = aws_lb_listener.this["test"].arn
}

output "prod_rule_arn" {
  description = "Rule of the production listener that ECS shifts."
  value       = aws_lb_listener_rule.this["prod"].arn
}

output "test_rule_arn" {
  description = "Rule of the test listener that ECS shifts."
  value       = aws_lb_listener_rule.this["test"].arn
}

output "target_group_arns" {
  description = "Target groups by color: `blue` serves first, `green` is the alternate."
  value       = { for color, group in aws_lb_target_group.this : color => group.arn }
  # ECS refuses a service whose target group has no load balancer yet; the rules tie them together.
  depends_on = [aws_lb_listener_rule.this]
}

output "target_group_arn_suffixes" {
  description = "Last parts of the target groups' ARNs by color, as CloudWatch names them."
  value       = { for color, group in aws_lb_target_group.this : color => group.arn_suffix }
}

output "test_port" {
  description = "Port of the test listener."
  value       = var.test_port
}
