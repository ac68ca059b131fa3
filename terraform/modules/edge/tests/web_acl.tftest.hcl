mock_provider "aws" {
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:group" }
  }

  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/converto/1" }
  }
}

mock_provider "aws" {
  alias = "us_east_1"
}

run "it_limits_by_the_forwarded_address_and_hides_credentials" {
  module {
    source = "./web-acl"
  }

  variables {
    name                = "converto-production-load-balancer"
    scope               = "REGIONAL"
    rate_limit          = 20000
    forwarded_ip_header = "x-converto-client-ip"
    counted_rules       = ["SizeRestrictions_BODY"]
    log_kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/1"
    log_retention_days  = 365
  }

  assert {
    condition = one([
      for rule in aws_wafv2_web_acl.this.rule : rule.statement[0].rate_based_statement[0].forwarded_ip_config[0].header_name
      if rule.name == "rate-limit"
    ]) == "x-converto-client-ip"
    error_message = "Requests must be counted by the client's address."
  }

  assert {
    condition = toset([for rule in aws_wafv2_web_acl.this.rule : rule.name]) == toset([
      "rate-limit", "AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet",
    ])
    error_message = "The rate limit and three groups kept by AWS."
  }

  assert {
    condition = toset(flatten([
      for rule in aws_wafv2_web_acl.this.rule : rule.statement[0].managed_rule_group_statement[0].rule_action_override[*].name
      if rule.name == "AWSManagedRulesCommonRuleSet"
    ])) == toset(["SizeRestrictions_BODY"])
    error_message = "Only the rules that were named may merely count."
  }

  assert {
    condition = toset([for field in aws_wafv2_web_acl_logging_configuration.this.redacted_fields : field.single_header[0].name]) == toset([
      "authorization", "cookie", "x-api-key",
    ])
    error_message = "The log must not hold credentials."
  }

  assert {
    condition     = startswith(aws_cloudwatch_log_group.this.name, "aws-waf-logs-") && aws_cloudwatch_log_group.this.kms_key_id == var.log_kms_key_arn
    error_message = "AWS requires the prefix, and the log our key."
  }
}
