mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/role" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = {
      arn                  = "arn:aws:ecs:eu-central-1:123456789012:task-definition/converto:1"
      arn_without_revision = "arn:aws:ecs:eu-central-1:123456789012:task-definition/converto"
    }
  }
}

variables {
  name                  = "converto-production"
  image                 = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/worker-office@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  cpu                   = 1024
  memory                = 4096
  region                = "eu-central-1"
  account_id            = "123456789012"
  task_policy_json      = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  execution_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  vpc_id                = "vpc-1"
  subnet_ids            = ["subnet-1", "subnet-2", "subnet-3"]
  cluster_arn           = "arn:aws:ecs:eu-central-1:123456789012:cluster/converto-production"
  cluster_name          = "converto-production"
  log_kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/1"
  environment           = { CONVERTO_S3_BUCKET = "converto-production-objects-123456789012" }
  secrets               = { CONVERTO_MONGODB_PASSWORD = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:converto-production/database-abc:password::" }
  tags                  = { Project = "converto" }

  egress_security_groups = {
    database = { security_group_id = "sg-database", port = 27017 }
    broker   = { security_group_id = "sg-broker", port = 5671 }
  }

  egress_prefix_lists = { s3 = "pl-s3" }

  service = "worker-office"
  kind    = "worker"
}

run "refuses_a_name_that_ec2_refuses_as_a_description" {
  command         = plan
  expect_failures = [var.egress_prefix_lists]

  variables {
    egress_prefix_lists = { "S3's addresses" = "pl-s3" }
  }
}

run "a_worker" {
  variables {
    on_demand_base   = 1
    on_demand_weight = 1
    spot_weight      = 4
  }

  assert {
    condition     = local.container.readonlyRootFilesystem && !local.container.privileged && local.container.user == "10001:10001"
    error_message = "The container must not be able to write its root file system or be root."
  }

  assert {
    condition     = local.container.linuxParameters.capabilities.drop == ["ALL"] && local.container.linuxParameters.initProcessEnabled
    error_message = "The container must have no capabilities, and an init process."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].image == var.image
    error_message = "The image must be the one that was given."
  }

  assert {
    condition     = toset([for mount in local.container.mountPoints : mount.containerPath]) == toset(["/tmp", "/var/lib/converto/work"])
    error_message = "A worker writes these two folders."
  }

  assert {
    condition     = !aws_ecs_service.this[0].enable_execute_command && !aws_ecs_service.this[0].network_configuration[0].assign_public_ip
    error_message = "No shell and no public address."
  }

  assert {
    condition     = local.container.stopTimeout == 120 && tonumber(local.environment["CONVERTO_STOP_GRACE_S"]) <= 110
    error_message = "CONVERTO_STOP_GRACE_S must be well below stopTimeout."
  }

  assert {
    condition     = local.container.healthCheck.interval * local.container.healthCheck.retries >= 300
    error_message = "A failover of the database must not replace all workers."
  }

  assert {
    condition     = local.container.secrets == [{ name = "CONVERTO_MONGODB_PASSWORD", valueFrom = var.secrets["CONVERTO_MONGODB_PASSWORD"] }]
    error_message = "The task definition must name the secret, not hold it."
  }

  assert {
    condition     = { for name, rule in aws_vpc_security_group_egress_rule.security_group : name => rule.to_port } == { database = 27017, broker = 5671 }
    error_message = "The servers that were named, on their ports."
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.cidr) == 0 && length(aws_vpc_security_group_ingress_rule.load_balancer) == 0
    error_message = "No other way out, and no way in."
  }

  assert {
    condition     = aws_ecs_service.this[0].deployment_circuit_breaker[0].enable && aws_ecs_service.this[0].deployment_circuit_breaker[0].rollback
    error_message = "The circuit breaker must roll back."
  }

  assert {
    condition     = aws_ecs_service.this[0].deployment_controller[0].type == "ECS" && aws_ecs_service.this[0].deployment_minimum_healthy_percent == 100
    error_message = "New workers come before old ones go."
  }

  assert {
    condition     = length(aws_ecs_service.this[0].load_balancer) == 0 && length(output.alarm_names) == 0
    error_message = "A worker has no load balancer and no alarms of it."
  }

  assert {
    condition = alltrue([
      for role in aws_iam_role.this :
      jsondecode(role.assume_role_policy).Statement[0].Principal.Service == "ecs-tasks.amazonaws.com" &&
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    ])
    error_message = "Only ECS in this account may assume the roles."
  }

  assert {
    condition     = { for name, policy in aws_iam_role_policy.this : name => policy.policy } == { task = var.task_policy_json, execution = var.execution_policy_json }
    error_message = "The roles must have the policies that were given, and no others."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/converto-production/worker-office" && aws_cloudwatch_log_group.this.kms_key_id == var.log_kms_key_arn
    error_message = "The log group must carry the contract's name and our key."
  }

  assert {
    condition     = local.container.logConfiguration.options["mode"] == "non-blocking"
    error_message = "An outage of CloudWatch must not stop the container."
  }

  assert {
    condition     = aws_ecs_service.this[0].name == "worker-office" && aws_ecs_task_definition.this.family == "converto-production-worker-office"
    error_message = "Names must follow the contract."
  }

  assert {
    condition     = { for strategy in aws_ecs_service.this[0].capacity_provider_strategy : strategy.capacity_provider => strategy.weight } == { FARGATE = 1, FARGATE_SPOT = 4 }
    error_message = "The mix must be the one that was given."
  }
}

run "something_else_may_scale" {
  state_key = "external"

  variables {
    scaling   = "external"
    min_count = 0
  }

  assert {
    condition     = length(aws_appautoscaling_target.this) == 0 && aws_ecs_service.this[0].desired_count == 0
    error_message = "Nothing here may change the count."
  }
}

run "the_api_is_behind_the_load_balancer" {
  state_key = "api"

  variables {
    service   = "file-service"
    kind      = "api"
    min_count = 2

    load_balancer = {
      security_group_id         = "sg-balancer"
      arn_suffix                = "app/converto/1"
      target_group_arns         = { blue = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/blue/1", green = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/green/1" }
      target_group_arn_suffixes = { blue = "targetgroup/blue/1", green = "targetgroup/green/1" }
    }
  }

  assert {
    condition     = one(aws_ecs_service.this[0].load_balancer).target_group_arn == var.load_balancer.target_group_arns["blue"]
    error_message = "The first deployment serves from the blue group."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.load_balancer[0].referenced_security_group_id == "sg-balancer" && aws_vpc_security_group_egress_rule.load_balancer[0].security_group_id == "sg-balancer"
    error_message = "The load balancer, and nobody else, reaches the tasks."
  }

  assert {
    condition     = strcontains(local.container.healthCheck.command[3], "/api/health/live")
    error_message = "An unavailable database must not restart the service."
  }

  assert {
    condition = output.alarm_names == tolist([
      "converto-production-file-service-5xx",
      "converto-production-file-service-latency-blue",
      "converto-production-file-service-latency-green",
      "converto-production-file-service-unhealthy-blue",
      "converto-production-file-service-unhealthy-green",
    ])
    error_message = "A deployment watches errors, latency and health of both groups."
  }

  assert {
    condition     = toset([for metric in aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics : metric.id]) == toset(["blue", "green", "requests_per_task"])
    error_message = "Requests must be counted of whichever group serves."
  }

  assert {
    condition     = aws_appautoscaling_target.this[0].min_capacity == 2 && aws_appautoscaling_target.this[0].resource_id == "service/converto-production/file-service"
    error_message = "Scaling must keep two tasks."
  }
}

run "housekeeping_runs_by_schedule" {
  state_key = "housekeeping"

  variables {
    service               = "housekeeping"
    kind                  = "housekeeping"
    scheduler_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }

  assert {
    condition     = local.container.command == ["python", "-m", "file_service.housekeeping", "--once"]
    error_message = "A scheduled run must end by itself."
  }

  assert {
    condition     = length(aws_ecs_service.this) == 0 && aws_scheduler_schedule.this[0].schedule_expression == "rate(1 hour)"
    error_message = "Housekeeping is no service; it runs every hour."
  }

  assert {
    condition     = !can(regex(":[0-9]+$", aws_scheduler_schedule.this[0].target[0].ecs_parameters[0].task_definition_arn))
    error_message = "The schedule must run the newest revision."
  }

  assert {
    condition     = !aws_scheduler_schedule.this[0].target[0].ecs_parameters[0].network_configuration[0].assign_public_ip
    error_message = "No public address."
  }

  assert {
    condition     = jsondecode(aws_iam_role.scheduler[0].assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Only this account's scheduler may assume the role."
  }
}

run "unsafe_values_are_refused" {
  command = plan

  variables {
    image        = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/worker-office:latest"
    environment  = { CONVERTO_RABBITMQ_PASSWORD = "x" }
    secrets      = { CONVERTO_MONGODB_PASSWORD = "hunter2" }
    stop_grace_s = 115
    min_count    = 0
  }

  expect_failures = [var.image, var.environment, var.secrets, var.stop_grace_s, var.min_count]
}

run "a_password_in_a_url_and_a_missing_load_balancer_are_refused" {
  command = plan

  variables {
    environment = { CONVERTO_MONGODB_URL = "mongodb://converto:secret@database:27017" }
    service     = "file-service"
    kind        = "api"
  }

  expect_failures = [var.environment, var.load_balancer]
}

run "housekeeping_without_scheduler_policy_is_refused" {
  command = plan

  variables {
    service = "housekeeping"
    kind    = "housekeeping"
  }

  expect_failures = [var.scheduler_policy_json]
}
