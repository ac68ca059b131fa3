mock_provider "aws" {
  override_during = plan

  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:converto-test-rotation" }
  }
}

override_resource {
  target          = aws_secretsmanager_secret.this["database"]
  override_during = plan
  values          = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:database" }
}

override_resource {
  target          = aws_secretsmanager_secret.this["broker"]
  override_during = plan
  values          = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker" }
}

override_resource {
  target          = aws_secretsmanager_secret.this["bootstrap_api_key"]
  override_during = plan
  values          = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:bootstrap_api_key" }
}

override_resource {
  target          = aws_secretsmanager_secret.this["sealing_key"]
  override_during = plan
  values          = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:sealing_key" }
}

variables {
  name                 = "converto-test"
  account_id           = "123456789012"
  kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/secrets"
  log_kms_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/logs"
  rotation_image       = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/rotation@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  rotation_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  vpc_id               = "vpc-1"
  subnet_ids           = ["subnet-a", "subnet-b"]
  api_cidr_blocks      = ["10.0.0.0/16"]
  database = {
    url               = "mongodb://database.example:27017/?tls=true"
    port              = 27017
    security_group_id = "sg-database"
    master_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:master"
  }
  broker = {
    url                  = "amqps://broker.example:5671/"
    console_url          = "https://broker.example"
    security_group_id    = "sg-broker"
    bootstrap_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:bootstrap"
  }
  ecs_cluster_name = "converto-test"
  services_to_restart = {
    database          = ["file-service", "worker-image"]
    broker            = ["file-service", "worker-image"]
    bootstrap_api_key = ["file-service"]
    sealing_key       = ["file-service", "worker-image"]
  }
  tags = { environment = "test" }
}

run "every_secret_is_encrypted_and_named" {
  command = plan

  assert {
    condition     = toset([for secret in aws_secretsmanager_secret.this : secret.name]) == toset(["converto-test/bootstrap-api-key", "converto-test/broker", "converto-test/database", "converto-test/sealing-key"])
    error_message = "The secrets must have the names that the services' roles may read."
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == var.kms_key_arn && secret.tags["environment"] == "test"])
    error_message = "Each secret must be encrypted with the given key and carry the tags."
  }
}

run "only_placeholders_enter_the_state" {
  command = plan

  assert {
    condition = alltrue([
      for key in ["database", "broker"] : jsondecode(aws_secretsmanager_secret_version.first[key].secret_string)
      == { username = "converto_test_b", password = "none-before-the-first-rotation" }
    ])
    error_message = "The first login must be a placeholder of the user that the first rotation does not make."
  }

  assert {
    condition     = aws_secretsmanager_secret_version.first["bootstrap_api_key"].secret_string == "none-before-the-first-rotation"
    error_message = "The first API key must be a text that no service accepts as a key."
  }

  assert {
    condition     = aws_secretsmanager_secret_version.first["sealing_key"].secret_string == "none"
    error_message = "The first sealing key must be the word that services take for no key."
  }

  assert {
    condition     = alltrue([for version in aws_secretsmanager_secret_version.first : contains(version.version_stages, "INITIAL")])
    error_message = "The first version must keep a label when it is no longer current."
  }
}

run "every_secret_is_rotated_by_the_function" {
  command = plan

  assert {
    condition     = keys(aws_secretsmanager_secret_rotation.this) == ["bootstrap_api_key", "broker", "broker_bootstrap", "database", "sealing_key"]
    error_message = "All four secrets and the broker's administrator must be rotated."
  }

  assert {
    condition     = one(aws_secretsmanager_secret_rotation.this["database"].rotation_rules).automatically_after_days == 30
    error_message = "The database's user must be rotated every 30 days by default."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.rotation : permission.principal == "secretsmanager.amazonaws.com" && permission.source_account == var.account_id])
    error_message = "Only Secrets Manager may call the function, and for this account only."
  }
}

run "the_function_is_pinned_and_knows_no_secret" {
  command = plan

  assert {
    condition     = aws_lambda_function.rotation.package_type == "Image" && aws_lambda_function.rotation.image_uri == var.rotation_image
    error_message = "The function must run the image by digest."
  }

  assert {
    condition     = jsondecode(one(aws_lambda_function.rotation.environment).variables["CONVERTO_ROTATION"]).cluster == "converto-test"
    error_message = "The function must know the cluster."
  }

  assert {
    condition = jsondecode(one(aws_lambda_function.rotation.environment).variables["CONVERTO_ROTATION"]).secrets["arn:aws:secretsmanager:eu-central-1:123456789012:secret:database"] == {
      kind             = "database"
      admin_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:master"
      url              = "mongodb://database.example:27017/?tls=true"
      database         = "converto"
      user             = "converto_test"
      services         = ["file-service", "worker-image"]
    }
    error_message = "The function must know the database by names and addresses only."
  }
}

run "the_function_reaches_what_it_needs_only" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database.security_group_id == "sg-database" && alltrue([for rule in aws_vpc_security_group_ingress_rule.broker : rule.security_group_id == "sg-broker"])
    error_message = "Database and broker must accept the function."
  }

  assert {
    condition     = keys(aws_vpc_security_group_egress_rule.api) == ["10.0.0.0/16"]
    error_message = "HTTPS must be limited to the given networks."
  }
}

run "a_failed_rotation_raises_an_alarm" {
  command = plan

  variables {
    alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.rotation.dimensions == tomap({ FunctionName = "converto-test-rotation" }) && length(aws_cloudwatch_metric_alarm.rotation.alarm_actions) == 1
    error_message = "The alarm must watch the function and reach the topic."
  }
}

run "refuses_unusable_settings" {
  command = plan

  variables {
    name                  = "converto_test"
    account_id            = "1234"
    rotation_image        = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/rotation:latest"
    rotation_policy_json  = "not a policy"
    rotation_architecture = "riscv"
    api_cidr_blocks       = ["everywhere"]
    rotation_days         = { database = 1 }
    secret_recovery_days  = 1
  }

  expect_failures = [
    var.name, var.account_id, var.rotation_image, var.rotation_policy_json, var.rotation_architecture, var.api_cidr_blocks,
    var.rotation_days, var.secret_recovery_days,
  ]
}

run "refuses_servers_without_tls" {
  command = plan

  variables {
    database = {
      url               = "mongodb://database.example:27017/"
      port              = 27017
      security_group_id = "sg-database"
      master_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:master"
    }
    broker = {
      url                  = "amqp://broker.example:5672/"
      console_url          = "http://broker.example:15672"
      security_group_id    = "sg-broker"
      bootstrap_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:bootstrap"
    }
  }

  expect_failures = [var.database, var.broker]
}
