mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mock" }
  }
}

variables {
  name                = "converto-test"
  account_id          = "123456789012"
  region              = "eu-central-1"
  partition           = "aws"
  cidr                = "10.20.0.0/16"
  availability_zones  = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat                 = "one"
  interface_endpoints = ["sqs", "ecr.api"]
  log_kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "three_kinds_of_subnets_in_three_zones" {
  command = apply

  assert {
    condition     = length(output.public_subnet_ids) == 3 && length(output.private_subnet_ids) == 3 && length(output.data_subnet_ids) == 3
    error_message = "Three subnets of each kind."
  }

  assert {
    condition = length(distinct([
      for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : subnet.cidr_block
    ])) == 9
    error_message = "The nine ranges must differ."
  }

  assert {
    condition     = aws_subnet.private["eu-central-1a"].cidr_block == "10.20.0.0/20" && aws_subnet.data["eu-central-1c"].cidr_block == "10.20.53.0/24"
    error_message = "Private subnets are /20, data subnets /24."
  }

  assert {
    condition = !anytrue([
      for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : subnet.map_public_ip_on_launch
    ])
    error_message = "No subnet hands out public addresses by itself."
  }
}

run "default_security_group_is_empty" {
  command = apply

  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "The default security group must have no rules."
  }
}

run "data_subnets_talk_to_the_vpc_only" {
  command = apply

  assert {
    condition     = length(aws_route_table.data.route) == 0 && alltrue([for route in aws_route.private_nat : route.route_table_id != aws_route_table.data.id])
    error_message = "The data subnets have no way out of the VPC."
  }

  assert {
    condition = alltrue([
      for rule in setunion(aws_network_acl.data.ingress, aws_network_acl.data.egress) : rule.cidr_block == "10.20.0.0/16"
    ])
    error_message = "The network ACL of the data subnets admits the VPC only."
  }
}

run "one_nat_gateway_serves_all_zones" {
  command = apply

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(distinct([for route in aws_route.private_nat : route.nat_gateway_id])) == 1
    error_message = "One NAT gateway, used by every private subnet."
  }
}

run "nat_gateway_in_each_zone" {
  command = apply

  variables {
    nat = "per-az"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(distinct([for route in aws_route.private_nat : route.nat_gateway_id])) == 3
    error_message = "Each private subnet uses the NAT gateway of its zone."
  }
}

run "endpoints_keep_other_accounts_out" {
  command = apply

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "S3 is reached by a gateway endpoint from all private subnets."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement :
      try(statement.Condition.StringEquals["aws:ResourceAccount"] == "123456789012", false)
      || statement.Resource == "arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*"
    ])
    error_message = "Only buckets of this account and the layers of ECR are reachable."
  }

  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface :
      endpoint.private_dns_enabled &&
      jsondecode(endpoint.policy).Statement[0].Condition.StringEquals["aws:PrincipalAccount"] == "123456789012"
    ])
    error_message = "Interface endpoints admit callers of this account only."
  }

  assert {
    condition     = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset(["com.amazonaws.eu-central-1.sqs", "com.amazonaws.eu-central-1.ecr.api"])
    error_message = "One endpoint per named service."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.from_port == 443 && rule.to_port == 443])
    error_message = "Endpoints are reached by HTTPS only."
  }
}

run "all_traffic_is_logged_and_encrypted" {
  command = apply

  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/converto-test-boundary"
  }

  assert {
    condition     = aws_iam_role.flow_logs.permissions_boundary == "arn:aws:iam::123456789012:policy/converto-test-boundary"
    error_message = "The role is made within the boundary."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.max_aggregation_interval == 60
    error_message = "Flow logs record accepted and refused traffic every minute."
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow_logs.name == "/converto-test/flow-logs" && aws_cloudwatch_log_group.flow_logs.kms_key_id == var.log_kms_key_arn
    error_message = "The log group carries the name of the environment and is encrypted with its key."
  }

  assert {
    condition     = jsondecode(aws_iam_role.flow_logs.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Only flow logs of this account may take the role."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.flow_logs.policy, "\"Resource\":\"*\"")
    error_message = "The role writes to its own log group only."
  }
}

run "two_zones_are_refused" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.availability_zones]
}

run "public_range_is_refused" {
  command = plan

  variables {
    cidr = "8.8.0.0/16"
  }

  expect_failures = [var.cidr]
}

run "narrow_range_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "s3_interface_endpoint_is_refused" {
  command = plan

  variables {
    interface_endpoints = ["s3"]
  }

  expect_failures = [var.interface_endpoints]
}

run "unknown_nat_is_refused" {
  command = plan

  variables {
    nat = "none"
  }

  expect_failures = [var.nat]
}
