mock_provider "aws" {}

variables {
  name            = "converto-production"
  log_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
  tags            = { Project = "converto" }
}

run "it_is_logged_encrypted_and_on_demand" {
  assert {
    condition     = aws_ecs_cluster.this.configuration[0].execute_command_configuration[0].logging == "OVERRIDE"
    error_message = "ECS Exec must log to our group."
  }

  assert {
    condition     = aws_ecs_cluster.this.configuration[0].execute_command_configuration[0].kms_key_id == var.log_kms_key_arn && aws_cloudwatch_log_group.exec.kms_key_id == var.log_kms_key_arn
    error_message = "Sessions and their log must be encrypted with our key."
  }

  assert {
    condition     = aws_ecs_cluster.this.configuration[0].execute_command_configuration[0].log_configuration[0].cloud_watch_encryption_enabled
    error_message = "The log must be encrypted."
  }

  assert {
    condition     = one([for setting in aws_ecs_cluster.this.setting : setting.value if setting.name == "containerInsights"]) == "enhanced"
    error_message = "Container Insights must be on."
  }

  assert {
    condition     = aws_ecs_cluster.this.name == "converto-production" && aws_cloudwatch_log_group.exec.name == "/converto-production/exec"
    error_message = "Names must carry the prefix."
  }

  assert {
    condition     = aws_ecs_cluster.this.tags["Project"] == "converto"
    error_message = "Tags must be those that were given."
  }

  assert {
    condition     = aws_ecs_cluster_capacity_providers.this.capacity_providers == toset(["FARGATE", "FARGATE_SPOT"])
    error_message = "Services must be able to choose Spot."
  }

  assert {
    condition     = [for strategy in aws_ecs_cluster_capacity_providers.this.default_capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE"]
    error_message = "A service that says nothing must not run on Spot."
  }
}

run "spot_can_be_the_default" {
  variables {
    default_spot_weight = 4
  }

  assert {
    condition     = one([for strategy in aws_ecs_cluster_capacity_providers.this.default_capacity_provider_strategy : strategy.weight if strategy.capacity_provider == "FARGATE_SPOT"]) == 4
    error_message = "Spot must have its weight."
  }
}

run "unsafe_values_are_refused" {
  command = plan

  variables {
    container_insights = "disabled"
    log_kms_key_arn    = ""
  }

  expect_failures = [var.container_insights, var.log_kms_key_arn]
}
