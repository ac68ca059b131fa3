locals {
  # A scope that allows more is accepted where less is asked. The file service decides again.
  may_read  = length(var.scopes.read) == 0 ? [] : concat(var.scopes.read, var.scopes.write, var.scopes.admin)
  may_write = length(var.scopes.write) == 0 ? [] : concat(var.scopes.write, var.scopes.admin)

  # No route names ANY beside a method, because which of two matching routes wins would depend on the order of AWS's
  # rules. What is not listed gets 404 here.
  jwt_routes = {
    "GET /api/v1/{proxy+}"          = local.may_read
    "POST /api/v1/{proxy+}"         = local.may_write
    "DELETE /api/v1/{proxy+}"       = local.may_write
    "POST /api/v1/conversions"      = local.may_write
    "POST /api/v1/files"            = local.may_write
    "POST /api/v1/plans"            = local.may_read # a dry run
    "GET /api/v1/whoami"            = []             # every valid token may ask what it is
    "GET /api/v1/admin/{proxy+}"    = var.scopes.admin
    "POST /api/v1/admin/{proxy+}"   = var.scopes.admin
    "DELETE /api/v1/admin/{proxy+}" = var.scopes.admin
  }

  open_routes = toset([
    "GET /",
    "GET /api/health",
    "GET /api/health/{proxy+}",
    "GET /api/docs",
    "GET /api/docs/{proxy+}",
    "GET /api/openapi.json",
  ])

  api_key_route  = "ANY /${local.api_key_prefix}/{proxy+}"
  api_key_routes = var.api_keys == "accepted" ? toset([local.api_key_route]) : toset([])

  routes = merge(
    { for key, scopes in local.jwt_routes : key => { is_open = false, scopes = scopes, integration = "plain" } },
    { for key in local.open_routes : key => { is_open = true, scopes = [], integration = "plain" } },
    { for key in local.api_key_routes : key => { is_open = true, scopes = [], integration = "with_api_key" } },
  )

  integrations = merge(
    { plain = {} },
    { for key in local.api_key_routes : "with_api_key" => { "overwrite:path" = "/$request.path.proxy" } },
  )

  throttles = {
    for key in keys(local.routes) : key => lookup(var.throttles, key, var.default_throttle)
  }
}

resource "aws_security_group" "link" {
  name        = "${var.name}-api-link"
  description = "VPC link of the HTTP API: reaches the load balancer only"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-api-link" })
}

resource "aws_vpc_security_group_egress_rule" "link" {
  security_group_id            = aws_security_group.link.id
  description                  = "Load balancer"
  referenced_security_group_id = var.load_balancer_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = local.tags
}

resource "aws_apigatewayv2_vpc_link" "this" {
  name               = var.name
  subnet_ids         = var.link_subnet_ids
  security_group_ids = [aws_security_group.link.id]
  tags               = local.tags
}

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = "converto: everything but the event streams"
  protocol_type = "HTTP"
  # CloudFront reaches the API by its own address, so it stays on. Who calls it directly meets the same authorizer, the
  # same throttles and the load balancer's web ACL.
  disable_execute_api_endpoint = false

  dynamic "cors_configuration" {
    for_each = length(var.cors_origins) > 0 ? [var.cors_origins] : []

    content {
      allow_origins  = cors_configuration.value
      allow_methods  = local.cors_methods
      allow_headers  = local.cors_request_headers
      expose_headers = local.cors_response_headers
      max_age        = local.cors_max_age_s
    }
  }

  tags = local.tags
}

resource "aws_apigatewayv2_authorizer" "jwt" {
  api_id           = aws_apigatewayv2_api.this.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = var.issuer
    audience = var.audiences
  }
}

resource "aws_apigatewayv2_integration" "this" {
  for_each = local.integrations

  api_id               = aws_apigatewayv2_api.this.id
  description          = "Load balancer by way of the VPC link (${each.key})"
  integration_type     = "HTTP_PROXY"
  integration_method   = "ANY"
  integration_uri      = var.listener_arn
  connection_type      = "VPC_LINK"
  connection_id        = aws_apigatewayv2_vpc_link.this.id
  timeout_milliseconds = var.integration_timeout_ms

  request_parameters = merge(each.value, {
    "overwrite:header.${local.client_ip_header}" = "$context.identity.sourceIp"
  })

  # Without this the connection would be plain HTTP.
  tls_config {
    server_name_to_verify = var.server_name
  }
}

resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309: health and documentation are public; requests with an API key are authenticated by the file service.
  for_each = local.routes

  api_id               = aws_apigatewayv2_api.this.id
  route_key            = each.key
  target               = "integrations/${aws_apigatewayv2_integration.this[each.value.integration].id}"
  authorization_type   = each.value.is_open ? "NONE" : "JWT"
  authorizer_id        = each.value.is_open ? null : aws_apigatewayv2_authorizer.jwt.id
  authorization_scopes = each.value.is_open ? null : each.value.scopes
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    detailed_metrics_enabled = true
    throttling_rate_limit    = var.default_throttle.rate
    throttling_burst_limit   = var.default_throttle.burst
  }

  dynamic "route_settings" {
    for_each = local.throttles

    content {
      route_key                = route_settings.key
      detailed_metrics_enabled = true
      throttling_rate_limit    = route_settings.value.rate
      throttling_burst_limit   = route_settings.value.burst
    }
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    # No header and no query: they may carry tokens.
    format = jsonencode({
      request_id        = "$context.requestId"
      time              = "$context.requestTime"
      client_ip         = "$context.identity.sourceIp"
      method            = "$context.httpMethod"
      path              = "$context.path"
      route             = "$context.routeKey"
      status            = "$context.status"
      protocol          = "$context.protocol"
      response_bytes    = "$context.responseLength"
      duration_ms       = "$context.responseLatency"
      integration_ms    = "$context.integration.latency"
      integration_error = "$context.integrationErrorMessage"
      authorizer_error  = "$context.authorizer.error"
      subject           = "$context.authorizer.claims.sub"
      error             = "$context.error.message"
    })
  }

  tags = local.tags

  lifecycle {
    precondition {
      condition     = length(setsubtract(keys(var.throttles), concat(keys(local.routes), [local.api_key_route]))) == 0
      error_message = "throttles names routes that do not exist: ${join(", ", setsubtract(keys(var.throttles), concat(keys(local.routes), [local.api_key_route])))}."
    }
  }

  # Settings of a route that is not there yet are refused.
  depends_on = [aws_apigatewayv2_route.this]
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/${var.name}/api"
  kms_key_id        = var.log_kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = local.tags
}
