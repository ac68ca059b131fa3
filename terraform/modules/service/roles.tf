locals {
  policies = {
    task      = var.task_policy_json
    execution = var.execution_policy_json
  }
}

resource "aws_iam_role" "this" {
  for_each = local.policies

  name                 = "${local.full_name}-${each.key}"
  description          = each.key == "task" ? "What the containers of ${var.service} may do" : "What ECS may do to start ${var.service}"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      # Without these, ECS could be talked into using the role from another account.
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${var.partition}:ecs:${var.region}:${var.account_id}:*" }
      }
    }]
  })

  tags = local.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.policies

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = each.value
}
