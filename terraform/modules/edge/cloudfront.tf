locals {
  # Managed policies of CloudFront; their ids are the same in every account.
  caching_disabled       = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
  all_viewer_except_host = "b689b0a8-53d0-40ab-baf2-68738e2966ac"

  stream_paths = ["/api/v1/events", "/api/v1/conversions/*/events"]

  cors_methods          = ["GET", "POST", "DELETE"]
  cors_request_headers  = ["authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id", "prefer", "x-api-key", "x-request-id"]
  cors_response_headers = ["etag", "link", "location", "preference-applied", "retry-after", "www-authenticate", "x-request-id"]
  cors_max_age_s        = 3600

  functions = {
    api = {
      clientIpHeader = local.client_ip_header
      apiKeyPrefix   = var.api_keys == "accepted" ? local.api_key_prefix : ""
    }
    streams = {
      clientIpHeader = local.client_ip_header
      origins        = var.cors_origins
      requestHeaders = join(", ", local.cors_request_headers)
      maxAgeS        = local.cors_max_age_s
    }
  }
}

resource "aws_cloudfront_function" "this" {
  for_each = local.functions

  name    = "${var.name}-${each.key}"
  comment = "Viewer request: ${each.key}"
  runtime = "cloudfront-js-2.0"
  publish = true
  code = replace(
    file("${path.module}/functions/${each.key}.js"),
    "/const settings = [^;]*;/",
    "const settings = ${jsonencode(each.value)};",
  )
}

# An entrance into the VPC that only distributions of this account can use; the load balancer stays internal.
resource "aws_cloudfront_vpc_origin" "load_balancer" {
  vpc_origin_endpoint_config {
    name                   = "${var.name}-load-balancer"
    arn                    = var.load_balancer_arn
    http_port              = 80
    https_port             = 443
    origin_protocol_policy = "https-only"

    origin_ssl_protocols {
      items    = ["TLSv1.2"]
      quantity = 1
    }
  }

  tags = local.tags
}

resource "aws_cloudfront_response_headers_policy" "this" {
  #checkov:skip=CKV_AWS_259: the year is there; other hosts below the domain are not ours to bind, nor is a preload list.
  for_each = toset(["api", "streams"])

  name    = "${var.name}-${each.key}"
  comment = "HTTPS only; for the streams also CORS"

  security_headers_config {
    strict_transport_security {
      access_control_max_age_sec = 31536000
      include_subdomains         = false
      override                   = true
    }
  }

  dynamic "cors_config" {
    for_each = each.key == "streams" && length(var.cors_origins) > 0 ? [var.cors_origins] : []

    content {
      access_control_allow_credentials = false
      access_control_max_age_sec       = local.cors_max_age_s
      origin_override                  = true

      access_control_allow_origins {
        items = cors_config.value
      }

      access_control_allow_methods {
        items = ["GET"]
      }

      access_control_allow_headers {
        items = local.cors_request_headers
      }

      access_control_expose_headers {
        items = local.cors_response_headers
      }
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_86: standard logging (v2) is set up by aws_cloudwatch_log_delivery below; v1 needs a bucket with ACLs.
  #checkov:skip=CKV_AWS_305: there is no root object; `/` is redirected by the file service.
  #checkov:skip=CKV_AWS_310: there is one origin; its load balancer spans three zones.
  #checkov:skip=CKV_AWS_374: who may use the service is decided by tokens and keys, not by country.
  #checkov:skip=CKV_AWS_68: the web ACL depends on var.waf, which is on by default.
  #checkov:skip=CKV2_AWS_47: the web ACL contains AWSManagedRulesKnownBadInputsRuleSet.
  #checkov:skip=CKV_AWS_174: without a domain CloudFront's own certificate decides the minimum; with one it is TLS 1.2.
  #checkov:skip=CKV2_AWS_42: without a domain there is no certificate of ours.
  enabled         = true
  comment         = var.name
  aliases         = var.domain_name == null ? [] : [var.domain_name]
  price_class     = var.price_class
  http_version    = "http2and3"
  is_ipv6_enabled = true
  web_acl_id      = one(module.web_acl_cloudfront[*].arn)

  origin {
    origin_id   = "api"
    domain_name = replace(aws_apigatewayv2_api.this.api_endpoint, "https://", "")

    custom_origin_config {
      http_port                = 80
      https_port               = 443
      origin_protocol_policy   = "https-only"
      origin_ssl_protocols     = ["TLSv1.2"]
      origin_read_timeout      = 40 # above the API's 30 s, so that its own answer arrives
      origin_keepalive_timeout = 60
    }
  }

  origin {
    origin_id = "streams"
    # The name that the load balancer's certificate must carry. The VPC origin finds the way, not DNS.
    domain_name = var.server_name

    vpc_origin_config {
      vpc_origin_id            = aws_cloudfront_vpc_origin.load_balancer.id
      origin_read_timeout      = 60 # between two bytes; the file service sends a ping every 15 s
      origin_keepalive_timeout = 60
    }
  }

  default_cache_behavior {
    target_origin_id           = "api"
    allowed_methods            = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    cached_methods             = ["GET", "HEAD"]
    viewer_protocol_policy     = "https-only"
    cache_policy_id            = local.caching_disabled
    origin_request_policy_id   = local.all_viewer_except_host
    response_headers_policy_id = aws_cloudfront_response_headers_policy.this["api"].id
    compress                   = false

    function_association {
      event_type   = "viewer-request"
      function_arn = aws_cloudfront_function.this["api"].arn
    }
  }

  dynamic "ordered_cache_behavior" {
    for_each = local.stream_paths

    content {
      path_pattern               = ordered_cache_behavior.value
      target_origin_id           = "streams"
      allowed_methods            = ["GET", "HEAD", "OPTIONS"]
      cached_methods             = ["GET", "HEAD"]
      viewer_protocol_policy     = "https-only"
      cache_policy_id            = local.caching_disabled
      origin_request_policy_id   = local.all_viewer_except_host
      response_headers_policy_id = aws_cloudfront_response_headers_policy.this["streams"].id
      # Compression would hold events back until a block is full.
      compress = false

      function_association {
        event_type   = "viewer-request"
        function_arn = aws_cloudfront_function.this["streams"].arn
      }
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.certificate_arn == null
    acm_certificate_arn            = var.certificate_arn
    ssl_support_method             = var.certificate_arn == null ? null : "sni-only"
    minimum_protocol_version       = var.certificate_arn == null ? null : "TLSv1.2_2021"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  tags = local.tags
}

resource "aws_route53_record" "this" {
  for_each = var.hosted_zone_id == null ? toset([]) : toset(["A", "AAAA"])

  zone_id = var.hosted_zone_id
  name    = var.domain_name
  type    = each.key

  alias {
    name                   = aws_cloudfront_distribution.this.domain_name
    zone_id                = aws_cloudfront_distribution.this.hosted_zone_id
    evaluate_target_health = false
  }
}

resource "aws_cloudwatch_log_group" "cloudfront" {
  #checkov:skip=CKV_AWS_158: a key of us-east-1 is optional; without one CloudWatch Logs encrypts with its own.
  provider = aws.us_east_1

  name              = "/${var.name}/cloudfront"
  kms_key_id        = var.us_east_1_log_kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_cloudwatch_log_delivery_source" "cloudfront" {
  provider = aws.us_east_1

  name         = "${var.name}-cloudfront"
  log_type     = "ACCESS_LOGS"
  resource_arn = aws_cloudfront_distribution.this.arn
  tags         = local.tags
}

resource "aws_cloudwatch_log_delivery_destination" "cloudfront" {
  provider = aws.us_east_1

  name          = "${var.name}-cloudfront"
  output_format = "json"

  delivery_destination_configuration {
    destination_resource_arn = aws_cloudwatch_log_group.cloudfront.arn
  }

  tags = local.tags
}

resource "aws_cloudwatch_log_delivery" "cloudfront" {
  provider = aws.us_east_1

  delivery_source_name     = aws_cloudwatch_log_delivery_source.cloudfront.name
  delivery_destination_arn = aws_cloudwatch_log_delivery_destination.cloudfront.arn
  # No query, cookie or referrer: they may carry tokens.
  record_fields = [
    "date", "time", "x-edge-location", "x-edge-request-id", "c-ip", "cs-method", "cs(Host)", "cs-uri-stem", "sc-status",
    "sc-bytes", "cs-bytes", "time-taken", "time-to-first-byte", "cs(User-Agent)", "cs-protocol", "cs-protocol-version",
    "ssl-protocol", "ssl-cipher", "x-edge-result-type", "x-edge-response-result-type", "x-edge-detailed-result-type",
  ]
  tags = local.tags
}
