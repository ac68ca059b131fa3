mock_provider "aws" {
  mock_resource "aws_apigatewayv2_api" {
    defaults = { api_endpoint = "https://abc123.execute-api.eu-central-1.amazonaws.com" }
  }

  mock_resource "aws_cloudfront_function" {
    defaults = { arn = "arn:aws:cloudfront::123456789012:function/converto" }
  }

  mock_resource "aws_cloudfront_distribution" {
    defaults = {
      arn         = "arn:aws:cloudfront::123456789012:distribution/E123"
      domain_name = "d123.cloudfront.net"
    }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:group" }
  }

}

mock_provider "aws" {
  alias = "us_east_1"

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:group" }
  }

  mock_resource "aws_cloudwatch_log_delivery_destination" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:delivery-destination:converto" }
  }
}

# Web ACLs are slow to plan; web_acl.tftest.hcl looks into them.
override_module {
  target = module.web_acl_cloudfront

  outputs = {
    arn       = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/converto/1"
    log_group = "aws-waf-logs-converto-production-cloudfront"
  }
}

override_module {
  target = module.web_acl_load_balancer

  outputs = {
    arn       = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/converto/1"
    log_group = "aws-waf-logs-converto-production-load-balancer"
  }
}

variables {
  name                            = "converto-production"
  vpc_id                          = "vpc-1"
  link_subnet_ids                 = ["subnet-1", "subnet-2", "subnet-3"]
  load_balancer_arn               = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/converto/1"
  load_balancer_security_group_id = "sg-1"
  listener_arn                    = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/converto/1/2"
  server_name                     = "origin.convert.example.org"
  issuer                          = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc"
  audiences                       = ["client-1"]
  log_kms_key_arn                 = "arn:aws:kms:eu-central-1:123456789012:key/1"
  tags                            = { Project = "converto" }
}

run "defaults_are_safe" {
  assert {
    condition = alltrue([
      for key, route in aws_apigatewayv2_route.this : route.authorization_type == "JWT" if strcontains(key, "/api/v1/")
    ])
    error_message = "A route below /api/v1 has no authorizer."
  }

  assert {
    condition = toset([for key, route in aws_apigatewayv2_route.this : key if route.authorization_type == "NONE"]) == toset([
      "GET /", "GET /api/docs", "GET /api/docs/{proxy+}", "GET /api/health", "GET /api/health/{proxy+}", "GET /api/openapi.json",
    ])
    error_message = "Only health and documentation may be open."
  }

  assert {
    condition     = !strcontains(aws_cloudfront_function.this["api"].code, "with-api-key")
    error_message = "API keys must be refused by default."
  }

  assert {
    condition     = aws_apigatewayv2_route.this["POST /api/v1/conversions"].authorization_scopes == toset(["converto/conversions:write", "converto/admin"])
    error_message = "Creating requires the write scope."
  }

  assert {
    condition     = contains(aws_apigatewayv2_route.this["GET /api/v1/{proxy+}"].authorization_scopes, "converto/conversions:read")
    error_message = "Reading requires the read scope."
  }

  assert {
    condition     = length(coalesce(aws_apigatewayv2_route.this["GET /api/v1/whoami"].authorization_scopes, [])) == 0 && aws_apigatewayv2_route.this["GET /api/v1/whoami"].authorization_type == "JWT"
    error_message = "Who has a token without a scope may ask who they are."
  }

  assert {
    condition     = aws_apigatewayv2_route.this["DELETE /api/v1/admin/{proxy+}"].authorization_scopes == toset(["converto/admin"])
    error_message = "Administration requires the admin scope."
  }

  assert {
    condition = alltrue([
      for integration in aws_apigatewayv2_integration.this :
      integration.tls_config[0].server_name_to_verify == "origin.convert.example.org" && integration.connection_type == "VPC_LINK"
    ])
    error_message = "The API must verify the load balancer's certificate."
  }

  assert {
    condition     = aws_cloudfront_vpc_origin.load_balancer.vpc_origin_endpoint_config[0].origin_protocol_policy == "https-only"
    error_message = "CloudFront must reach the load balancer over HTTPS only."
  }

  assert {
    condition     = alltrue([for origin in aws_cloudfront_distribution.this.origin : origin.custom_origin_config == [] || try(origin.custom_origin_config[0].origin_protocol_policy, "https-only") == "https-only"])
    error_message = "CloudFront must reach the API over HTTPS only."
  }

  assert {
    condition = alltrue([
      for integration in aws_apigatewayv2_integration.this :
      integration.request_parameters["overwrite:header.x-converto-client-ip"] == "$context.identity.sourceIp"
    ])
    error_message = "The API must overwrite the header."
  }

  assert {
    condition     = alltrue([for function in aws_cloudfront_function.this : strcontains(function.code, "\"clientIpHeader\":\"x-converto-client-ip\"")])
    error_message = "CloudFront must overwrite the header."
  }

  assert {
    condition     = [for behavior in aws_cloudfront_distribution.this.ordered_cache_behavior : behavior.path_pattern] == ["/api/v1/events", "/api/v1/conversions/*/events"]
    error_message = "These are the paths of the event streams."
  }

  assert {
    condition     = alltrue([for behavior in aws_cloudfront_distribution.this.ordered_cache_behavior : behavior.target_origin_id == "streams" && !behavior.compress])
    error_message = "Streams must go to the VPC origin, uncompressed."
  }

  assert {
    condition     = one([for origin in aws_cloudfront_distribution.this.origin : origin.vpc_origin_config[0].origin_read_timeout if origin.origin_id == "streams"]) > 15
    error_message = "CloudFront must be more patient than the pause between two pings."
  }

  assert {
    condition     = tonumber(output.service_environment["CONVERTO_MAX_WAIT_S"]) == 25
    error_message = "A wait must end before the API gives up after 30 s."
  }

  assert {
    condition     = tonumber(output.service_environment["CONVERTO_MAX_FORM_BYTES"]) + 1048576 <= 10000000
    error_message = "A form with its overhead must fit into 10 MB."
  }

  assert {
    condition     = output.service_environment["CONVERTO_PUBLIC_URL"] == "https://d123.cloudfront.net"
    error_message = "Links must lead to CloudFront."
  }

  assert {
    condition     = aws_wafv2_web_acl_association.load_balancer[0].resource_arn == var.load_balancer_arn && strcontains(aws_wafv2_web_acl_association.load_balancer[0].web_acl_arn, ":regional/")
    error_message = "The load balancer needs a web ACL."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.web_acl_id == "arn:aws:wafv2:us-east-1:123456789012:global/webacl/converto/1"
    error_message = "CloudFront needs a web ACL."
  }

  assert {
    condition     = alltrue([for settings in aws_apigatewayv2_stage.this.route_settings : settings.throttling_rate_limit > 0 && settings.throttling_burst_limit > 0])
    error_message = "Every route needs a throttle."
  }

  assert {
    condition     = length(aws_apigatewayv2_stage.this.route_settings) == length(aws_apigatewayv2_route.this)
    error_message = "Every route needs a throttle."
  }

  assert {
    condition     = aws_apigatewayv2_stage.this.access_log_settings[0].destination_arn == aws_cloudwatch_log_group.api.arn && aws_cloudwatch_log_group.api.kms_key_id == var.log_kms_key_arn
    error_message = "The API must write an encrypted access log."
  }

  assert {
    condition     = !can(regex("(?i)header|querystring|authorization", aws_apigatewayv2_stage.this.access_log_settings[0].format))
    error_message = "The access log must not name headers or the query."
  }

  assert {
    condition     = length(setintersection(aws_cloudwatch_log_delivery.cloudfront.record_fields, ["cs-uri-query", "cs(Cookie)", "cs(Referer)"])) == 0
    error_message = "CloudFront's log must not hold queries or cookies."
  }

  assert {
    condition     = length(aws_apigatewayv2_api.this.cors_configuration) == 0 && length(aws_cloudfront_response_headers_policy.this["streams"].cors_config) == 0
    error_message = "CORS must be off by default."
  }
}

run "api_keys_pages_and_a_domain_when_asked_for" {
  variables {
    api_keys        = "accepted"
    domain_name     = "convert.example.org"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1"
    hosted_zone_id  = "Z123"
    cors_origins    = ["https://app.example.org"]
  }

  assert {
    condition     = aws_apigatewayv2_route.this["ANY /with-api-key/{proxy+}"].authorization_type == "NONE"
    error_message = "The route of API keys has no authorizer, because the file service checks them."
  }

  assert {
    condition     = aws_apigatewayv2_integration.this["with_api_key"].request_parameters["overwrite:path"] == "/$request.path.proxy"
    error_message = "The file service must get the path without the prefix."
  }

  assert {
    condition     = strcontains(aws_cloudfront_function.this["api"].code, "\"apiKeyPrefix\":\"with-api-key\"")
    error_message = "CloudFront must tell requests with an API key apart."
  }

  assert {
    condition     = aws_apigatewayv2_route.this["GET /api/v1/{proxy+}"].authorization_type == "JWT"
    error_message = "The other routes still require a token."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021"
    error_message = "TLS 1.2 is the least."
  }

  assert {
    condition     = output.api_url == "https://convert.example.org" && length(aws_route53_record.this) == 2
    error_message = "Links must name the domain, and the domain must lead to CloudFront."
  }

  assert {
    condition     = aws_apigatewayv2_api.this.cors_configuration[0].allow_origins == toset(["https://app.example.org"])
    error_message = "The API must answer this origin."
  }

  assert {
    condition     = aws_cloudfront_response_headers_policy.this["streams"].cors_config[0].access_control_allow_origins[0].items == toset(["https://app.example.org"])
    error_message = "The streams must answer this origin."
  }
}

run "unsafe_values_are_refused" {
  command = plan

  variables {
    cors_origins           = ["*"]
    audiences              = []
    integration_timeout_ms = 60000
    domain_name            = "convert.example.org"
    certificate_arn        = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
  }

  expect_failures = [var.cors_origins, var.audiences, var.integration_timeout_ms, var.certificate_arn]
}

run "a_throttle_of_an_unknown_route_is_refused" {
  command = plan

  variables {
    waf       = false
    throttles = { "GET /nowhere" = { rate = 1, burst = 1 } }
  }

  expect_failures = [aws_apigatewayv2_stage.this]
}
