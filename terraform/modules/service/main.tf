locals {
  full_name      = "${var.name}-${var.service}"
  tags           = merge(var.tags, { Name = local.full_name, Service = var.service })
  is_api         = var.kind == "api"
  is_worker      = var.kind == "worker"
  is_housekeeper = var.kind == "housekeeping"

  # Fargate mounts an empty volume with the owner and the mode that the path has in the image, if the image declares it
  # as VOLUME; otherwise it would belong to root and the containers could not write.
  volumes = merge(
    { tmp = "/tmp" },
    local.is_worker ? { work = "/var/lib/converto/work" } : {},
  )

  environment = merge(
    var.environment,
    local.is_api ? { CONVERTO_PORT = tostring(var.container_port) } : {},
    local.is_worker ? {
      CONVERTO_STOP_GRACE_S = tostring(var.stop_grace_s)
      CONVERTO_WORK_DIR     = local.volumes.work
    } : {},
  )

  # What the images do by themselves, except for housekeeping, which is the file service's image with another command.
  command = local.is_housekeeper ? ["python", "-m", "file_service.housekeeping", "--once"] : null

  health_checks = {
    # Liveness, not readiness: an unavailable database must not restart the container.
    api = {
      command = [
        "CMD", "python", "-c",
        "import urllib.request as r; r.urlopen('http://127.0.0.1:${var.container_port}/api/health/live', timeout=2)",
      ]
      interval    = 10
      timeout     = 3
      retries     = 3
      startPeriod = 20
    }
    # It reads the worker's heartbeat from the database. Ten failures are five minutes: a failover of the database takes
    # less, and must not replace all workers with what they are doing.
    worker = {
      command     = ["CMD", "python", "/opt/converto/worker_healthy.py"]
      interval    = 30
      timeout     = 8
      retries     = 10
      startPeriod = 60
    }
    housekeeping = null
  }

  container = {
    name                   = var.service
    image                  = var.image
    essential              = true
    user                   = "10001:10001"
    privileged             = false
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_timeout_s
    command                = local.command
    healthCheck            = local.health_checks[var.kind]
    environment            = [for variable in sort(keys(local.environment)) : { name = variable, value = local.environment[variable] }]
    secrets                = [for variable in sort(keys(var.secrets)) : { name = variable, valueFrom = var.secrets[variable] }]
    mountPoints            = [for volume, path in local.volumes : { sourceVolume = volume, containerPath = path, readOnly = false }]
    portMappings           = local.is_api ? [{ containerPort = var.container_port, hostPort = var.container_port, protocol = "tcp" }] : []

    linuxParameters = {
      # A process 1 that reaps the children of conversion programs and passes signals on.
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-region        = var.region
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-stream-prefix = var.service
        # Without this a container stops at its next log line while CloudWatch does not answer.
        mode            = "non-blocking"
        max-buffer-size = "25m"
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/${var.service}"
  kms_key_id        = var.log_kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.this["task"].arn
  execution_role_arn       = aws_iam_role.this["execution"].arn
  skip_destroy             = var.keep_task_definitions

  # Settings without a value must be absent, not null.
  container_definitions = jsonencode([{ for setting, content in local.container : setting => content if content != null }])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  dynamic "ephemeral_storage" {
    for_each = var.ephemeral_storage_gib > 20 ? [var.ephemeral_storage_gib] : []

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  dynamic "volume" {
    for_each = local.volumes

    content {
      name = volume.key
    }
  }

  tags = local.tags
}

resource "aws_ecs_service" "this" {
  count = local.is_housekeeper ? 0 : 1

  name             = var.service
  cluster          = var.cluster_arn
  task_definition  = aws_ecs_task_definition.this.arn
  desired_count    = var.min_count
  platform_version = "1.4.0"
  # A change of the mix of capacity would otherwise replace the whole service.
  force_new_deployment = true

  # The root file system is read-only, so ECS Exec could not work; and nobody should need a shell in production.
  enable_execute_command  = false
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  # New tasks are there before old ones go.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = local.is_api ? 60 : null
  # Moving a worker to another zone would end hours of work; moving an API task ends nothing.
  availability_zone_rebalancing = local.is_api ? "ENABLED" : "DISABLED"

  deployment_controller {
    type = "ECS"
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "capacity_provider_strategy" {
    for_each = { for provider, strategy in local.capacity : provider => strategy if strategy.base + strategy.weight > 0 }

    content {
      capacity_provider = capacity_provider_strategy.key
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = local.is_api ? [var.load_balancer.target_group_arns["blue"]] : []

    content {
      target_group_arn = load_balancer.value
      container_name   = var.service
      container_port   = var.container_port
    }
  }

  tags = local.tags

  # Terraform makes the first deployment. After that deploy/aws/rollout.py changes the task definition, which target group
  # serves and which alarms stop a deployment, and scaling changes the count. The strategy, the bake time and the hooks of
  # a rollout need no entry: the provider keeps what ECS has where the configuration says nothing. Circuit breaker and
  # percentages are the same there as here.
  lifecycle {
    ignore_changes = [task_definition, desired_count, load_balancer, alarms]
  }

  # ECS reads the secrets and pulls the image as soon as the service exists.
  depends_on = [aws_iam_role_policy.this, aws_vpc_security_group_egress_rule.security_group, aws_vpc_security_group_egress_rule.prefix_list, aws_vpc_security_group_egress_rule.cidr]
}
