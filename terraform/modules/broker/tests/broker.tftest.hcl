mock_provider "aws" {
  mock_resource "aws_mq_broker" {
    defaults = {
      instances = [{
        console_url = "https://b-1.mq.eu-central-1.on.aws"
        endpoints   = ["amqps://b-1.mq.eu-central-1.on.aws:5671"]
        ip_address  = ""
      }]
    }
  }

  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "madeByTheMock" }
  }
}

variables {
  name                      = "converto-test"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-a", "subnet-b", "subnet-c"]
  client_security_group_ids = { file-service = "sg-1", worker-image = "sg-2" }
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/secrets"
  tags                      = { environment = "test" }
}

run "is_a_private_cluster_of_three_zones" {
  command = apply

  assert {
    condition     = aws_mq_broker.this.deployment_mode == "CLUSTER_MULTI_AZ" && length(aws_mq_broker.this.subnet_ids) == 3
    error_message = "The broker must be a cluster over all given subnets by default."
  }

  assert {
    condition     = aws_mq_broker.this.publicly_accessible == false
    error_message = "The broker must not be reachable from the internet."
  }

  assert {
    condition     = one(aws_mq_broker.this.logs).general
    error_message = "The broker's log must reach CloudWatch."
  }
}

run "sets_the_consumer_timeout" {
  command = apply

  variables {
    consumer_timeout_ms = 7200000
  }

  assert {
    condition     = strcontains(aws_mq_configuration.this.data, "\nconsumer_timeout = 7200000\n")
    error_message = "The configuration must hold the consumer timeout."
  }

  assert {
    condition     = one(aws_mq_broker.this.configuration).id == aws_mq_configuration.this.id
    error_message = "The broker must use the configuration."
  }
}

run "a_single_instance_uses_one_subnet" {
  command = apply

  variables {
    deployment_mode = "SINGLE_INSTANCE"
    instance_type   = "mq.m7g.medium"
  }

  assert {
    condition     = aws_mq_broker.this.subnet_ids == toset(["subnet-a"])
    error_message = "A single instance accepts exactly one subnet."
  }
}

run "gives_the_broker_the_password_of_its_secret" {
  command = apply

  assert {
    condition     = one(aws_mq_broker.this.user).password == "madeByTheMock"
    error_message = "The broker must get the password that stands in the secret."
  }

  assert {
    condition     = jsondecode(aws_secretsmanager_secret_version.bootstrap.secret_string) == { username = "converto-bootstrap", password = "madeByTheMock" }
    error_message = "The secret must hold the user's name and password."
  }

  assert {
    condition     = aws_secretsmanager_secret_version.bootstrap.version_stages == toset(["AWSCURRENT", "INITIAL"])
    error_message = "The first version must keep a label when it is no longer current."
  }

  assert {
    condition     = aws_secretsmanager_secret.bootstrap.kms_key_id == var.kms_key_arn
    error_message = "The secret must be encrypted with the given key."
  }
}

run "speaks_tls_only" {
  command = apply

  assert {
    condition     = output.amqps_endpoint == "b-1.mq.eu-central-1.on.aws:5671" && output.url == "amqps://b-1.mq.eu-central-1.on.aws:5671/"
    error_message = "Clients must get the address for AMQP with TLS, without credentials."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.client : rule.from_port == 5671 && rule.to_port == 5671 && rule.cidr_ipv4 == null])
    error_message = "Only the clients' security groups may connect, to port 5671."
  }
}

run "tags_and_names_belong_to_the_environment" {
  command = apply

  assert {
    condition     = aws_mq_broker.this.broker_name == "converto-test-broker" && aws_secretsmanager_secret.bootstrap.name == "converto-test/broker-bootstrap"
    error_message = "Every name must start with the environment's."
  }

  assert {
    condition     = alltrue([for tags in [aws_mq_broker.this.tags, aws_mq_configuration.this.tags, aws_secretsmanager_secret.bootstrap.tags] : tags["environment"] == "test"])
    error_message = "The tags must reach every resource."
  }
}

run "refuses_unusable_settings" {
  command = plan

  variables {
    name                 = "x"
    engine_version       = "3.8"
    consumer_timeout_ms  = 0
    secret_recovery_days = 3
    maintenance_window   = { day_of_week = "Sun", time_of_day = "5 am" }
    kms_key_arn          = "secrets"
  }

  expect_failures = [
    var.name, var.engine_version, var.consumer_timeout_ms, var.secret_recovery_days, var.maintenance_window, var.kms_key_arn,
  ]
}

run "refuses_an_instance_that_rabbitmq_4_lacks" {
  command = plan

  variables {
    engine_version = "4.2"
    instance_type  = "mq.m5.large"
  }

  expect_failures = [var.instance_type]
}

run "refuses_a_cluster_in_one_zone" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.deployment_mode]
}
