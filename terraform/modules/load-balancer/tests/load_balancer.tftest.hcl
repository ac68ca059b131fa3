mock_provider "aws" {
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/converto/1" }
  }

  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/converto/1/2" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/converto/1" }
  }
}

variables {
  name                           = "converto-production"
  vpc_id                         = "vpc-1"
  subnet_ids                     = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_group_ids      = ["sg-link"]
  test_client_security_group_ids = ["sg-smoke"]
  cloudfront_prefix_list_id      = "pl-1"
  certificate_arn                = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
  access_log_bucket              = "converto-production-access-logs-123456789012"
  tags                           = { Project = "converto" }
}

run "it_is_internal_encrypted_and_can_shift" {
  assert {
    condition     = aws_lb.this.internal && aws_lb.this.enable_deletion_protection
    error_message = "The load balancer must be internal and protected from deletion."
  }

  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.desync_mitigation_mode == "strictest"
    error_message = "Malformed requests must be dropped."
  }

  assert {
    condition     = aws_lb.this.access_logs[0].enabled && aws_lb.this.access_logs[0].bucket == var.access_log_bucket
    error_message = "Access logs must be written."
  }

  assert {
    condition     = aws_lb.this.tags["Project"] == "converto" && aws_lb.this.name == "converto-production"
    error_message = "Name and tags must be those that were given."
  }

  assert {
    condition     = alltrue([for listener in aws_lb_listener.this : listener.protocol == "HTTPS" && listener.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06"])
    error_message = "Both listeners must be HTTPS with TLS 1.2 or newer."
  }

  assert {
    condition     = { for name, listener in aws_lb_listener.this : name => listener.port } == { prod = 443, test = 8443 }
    error_message = "Production is on 443, the test on 8443."
  }

  assert {
    condition     = toset(keys(aws_lb_target_group.this)) == toset(["blue", "green"])
    error_message = "Blue/green requires two target groups."
  }

  assert {
    condition     = alltrue([for rule in aws_lb_listener_rule.this : length(rule.action[0].forward[0].target_group) == 2])
    error_message = "Each rule must name both target groups."
  }

  assert {
    condition     = alltrue([for listener in aws_lb_listener.this : listener.default_action[0].type == "fixed-response"])
    error_message = "Only rules can be shifted, so the default action must not forward."
  }

  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : group.health_check[0].path == "/api/health/live"])
    error_message = "ECS replaces tasks that fail this check, so an unavailable database must not fail it."
  }

  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : tonumber(group.deregistration_delay) > 25])
    error_message = "Old tasks must have time for the longest wait."
  }

  assert {
    condition     = aws_lb.this.idle_timeout > 60
    error_message = "An event stream is silent for 15 s at most, a wait for 25 s."
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.client : rule.referenced_security_group_id] == ["sg-link"]
    error_message = "The production listener is for the VPC link."
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.test_client : [rule.referenced_security_group_id, rule.from_port]] == [["sg-smoke", 8443]]
    error_message = "The test listener is for the smoke test."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.cloudfront[0].prefix_list_id == "pl-1" && aws_vpc_security_group_ingress_rule.cloudfront[0].cidr_ipv4 == null
    error_message = "CloudFront comes by its prefix list."
  }
}

run "without_cloudfront_there_is_no_group_for_it" {
  variables {
    cloudfront_prefix_list_id = null
  }

  assert {
    condition     = length(aws_security_group.cloudfront) == 0 && length(aws_lb.this.security_groups) == 1
    error_message = "Only the load balancer's own group may be left."
  }
}

run "unsafe_values_are_refused" {
  command = plan

  variables {
    ssl_policy        = "ELBSecurityPolicy-2016-08"
    subnet_ids        = ["subnet-1"]
    name              = "Converto"
    health_check_path = "/api/health"
  }

  expect_failures = [var.ssl_policy, var.subnet_ids, var.name, var.health_check_path]
}
