resource "aws_security_group" "this" {
  name        = local.full_name
  description = "${var.service}: reaches its servers and nothing else"
  vpc_id      = var.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_egress_rule" "security_group" {
  for_each = var.egress_security_groups

  security_group_id            = aws_security_group.this.id
  description                  = each.key
  referenced_security_group_id = each.value.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "prefix_list" {
  for_each = var.egress_prefix_lists

  security_group_id = aws_security_group.this.id
  description       = each.key
  prefix_list_id    = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "cidr" {
  for_each = var.egress_cidr_blocks

  security_group_id = aws_security_group.this.id
  description       = each.key
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  count = local.is_api ? 1 : 0

  security_group_id            = aws_security_group.this.id
  description                  = "Load balancer"
  referenced_security_group_id = var.load_balancer.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.container_port
  to_port                      = var.container_port
  tags                         = local.tags
}

# The other end of the same connection: the load balancer may reach these tasks only.
resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  count = local.is_api ? 1 : 0

  security_group_id            = var.load_balancer.security_group_id
  description                  = var.service
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = var.container_port
  to_port                      = var.container_port
  tags                         = local.tags
}
