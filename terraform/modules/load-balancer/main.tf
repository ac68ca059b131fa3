locals {
  tags   = merge(var.tags, { Name = var.name })
  colors = toset(["blue", "green"])
  listeners = {
    prod = { port = 443 }
    test = { port = var.test_port }
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-load-balancer"
  description = "Load balancer: the edge comes in, the file service is reached"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-load-balancer" })
}

# `count`, because the ids are not known when planning; `for_each` would require them.
resource "aws_vpc_security_group_ingress_rule" "client" {
  count = length(var.client_security_group_ids)

  security_group_id            = aws_security_group.this.id
  description                  = "Production listener from the edge"
  referenced_security_group_id = var.client_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = local.listeners.prod.port
  to_port                      = local.listeners.prod.port
  tags                         = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "test_client" {
  count = length(var.test_client_security_group_ids)

  security_group_id            = aws_security_group.this.id
  description                  = "Test listener from the smoke test"
  referenced_security_group_id = var.test_client_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = local.listeners.test.port
  to_port                      = local.listeners.test.port
  tags                         = local.tags
}

# A group of its own, because the list counts as 55 of the 60 rules that a group may have.
resource "aws_security_group" "cloudfront" {
  count = var.cloudfront_prefix_list_id == null ? 0 : 1

  name        = "${var.name}-load-balancer-cloudfront"
  description = "Load balancer: the VPC origin of CloudFront comes in"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-load-balancer-cloudfront" })
}

# The load balancer is internal, so only a VPC origin of this account gets here; the list alone would let in the
# distributions of everybody.
resource "aws_vpc_security_group_ingress_rule" "cloudfront" {
  count = var.cloudfront_prefix_list_id == null ? 0 : 1

  security_group_id = aws_security_group.cloudfront[0].id
  description       = "Production listener from CloudFront"
  prefix_list_id    = var.cloudfront_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = local.listeners.prod.port
  to_port           = local.listeners.prod.port
  tags              = local.tags
}

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_28: the edge module attaches the web ACL.
  #checkov:skip=CKV2_AWS_20: there is no HTTP listener that could redirect.
  name               = var.name
  load_balancer_type = "application"
  internal           = true
  subnets            = var.subnet_ids
  security_groups    = concat([aws_security_group.this.id], aws_security_group.cloudfront[*].id)

  idle_timeout                     = var.idle_timeout_s
  drop_invalid_header_fields       = true
  desync_mitigation_mode           = "strictest"
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection
  enable_waf_fail_open             = false

  access_logs {
    bucket  = var.access_log_bucket
    prefix  = "load-balancer"
    enabled = true
  }

  tags = local.tags
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378: the file service speaks plain HTTP; TLS ends at the load balancer inside the VPC.
  for_each = local.colors

  name        = "${substr(var.name, 0, 26)}-${each.key}" # at most 32 characters
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = var.target_port

  # Event streams last for minutes and requests for milliseconds, so turns would fill the targets unevenly.
  load_balancing_algorithm_type = "least_outstanding_requests"
  deregistration_delay          = var.deregistration_delay_s

  health_check {
    path                = var.health_check_path
    matcher             = "200"
    interval            = 10
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = merge(local.tags, { Name = "${var.name}-${each.key}", Color = each.key })
}

resource "aws_lb_listener" "this" {
  for_each = local.listeners

  load_balancer_arn = aws_lb.this.arn
  port              = each.value.port
  protocol          = "HTTPS"
  ssl_policy        = var.ssl_policy
  certificate_arn   = var.certificate_arn

  # ECS can shift rules only. What no rule matches is refused here.
  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "application/json"
      message_body = jsonencode({ title = "Not found", status = 404, code = "not_found" })
      status_code  = "404"
    }
  }

  tags = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_lb_listener_rule" "this" {
  for_each = local.listeners

  listener_arn = aws_lb_listener.this[each.key].arn
  priority     = 100

  action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = local.colors

        content {
          arn    = aws_lb_target_group.this[target_group.key].arn
          weight = target_group.key == "blue" ? 100 : 0
        }
      }
    }
  }

  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  tags = merge(local.tags, { Name = "${var.name}-${each.key}" })

  # ECS changes the weights at each deployment. Before the first one both listeners serve the blue group.
  lifecycle {
    ignore_changes = [action]
  }
}
