# Policies are data of the provider too; these stand in for documents that the modules look into.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = {
      minified_json = "{\"Version\":\"2012-10-17\",\"Statement\":[],\"Mentions\":\"aws:SecureTransport s3.amazonaws.com aws:SourceArn\"}"
    }
  }

  mock_data "aws_ec2_managed_prefix_list" {
    defaults = { id = "pl-cloudfront" }
  }

  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "0123456789abcdef0123456789abcdef" }
  }
}

mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  name                   = "converto-production"
  account_id             = "123456789012"
  region                 = "eu-central-1"
  availability_zones     = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  cidr                   = "10.22.0.0/16"
  nat                    = "per-az"
  origin_name            = "origin.convert.example.org"
  origin_certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-1111-4111-8111-111111111111"
  alarm_emails           = ["operations@example.org"]
  monthly_budget_usd     = 100
  database               = { instance_class = "db.r6g.large", instance_count = 3 }
  broker                 = { instance_type = "mq.m7g.large", deployment_mode = "CLUSTER_MULTI_AZ" }
  file_service           = { cpu = 1024, memory = 2048, min_count = 2, max_count = 4 }

  images = {
    file-service = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/file-service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    rotation     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/rotation@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    worker-all   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/worker-all@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  workers = {
    all = {
      families          = ["office", "pdf", "image", "video", "audio", "model"]
      cpu               = 2048
      memory            = 8192
      slots             = 2
      engine_memory_mib = 3072
      min_count         = 1
      max_count         = 4
    }
  }
}

run "the_whole_environment" {
  command = plan

  variables {
    identity              = { machine_clients = { reports = ["conversions:read"] } }
    transfer_acceleration = true
  }

  assert {
    condition     = local.sign_in_name == "converto-production-123456789012"
    error_message = "The name of the sign-in page must be unique among all accounts of the region."
  }

  assert {
    condition     = contains(keys(output.client_ids), "reports") && contains(keys(output.client_ids), "command-line")
    error_message = "Clients must reach the user pool, and their ids the outputs."
  }

  assert {
    condition     = output.sign_in_url == "https://converto-production-123456789012.auth.eu-central-1.amazoncognito.com"
    error_message = "People must be told where they sign in."
  }

  assert {
    condition     = local.accelerated["CONVERTO_S3_PUBLIC_ENDPOINT_URL"] == "https://s3-accelerate.amazonaws.com"
    error_message = "An accelerated bucket serves only URLs with the accelerated host faster."
  }
}

run "refuses_a_name_that_aws_refuses_at_the_apply" {
  command         = plan
  expect_failures = [var.name]

  variables {
    name = "converto--test"
  }
}

run "refuses_an_image_by_tag" {
  command         = plan
  expect_failures = [var.images]

  variables {
    images = {
      file-service = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/file-service:latest"
      rotation     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/rotation:latest"
      worker-all   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/worker-all:latest"
    }
  }
}

run "refuses_a_worker_without_an_image" {
  command         = plan
  expect_failures = [var.images]

  variables {
    images = {
      file-service = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/file-service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      rotation     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/converto/rotation@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
}

run "refuses_programs_that_do_not_fit_and_families_without_a_worker" {
  command         = plan
  expect_failures = [var.workers]

  variables {
    workers = {
      all = {
        families          = ["office", "pdf"]
        cpu               = 2048
        memory            = 4096
        slots             = 4
        engine_memory_mib = 3072
        min_count         = 1
        max_count         = 4
      }
    }
  }
}

run "refuses_endpoints_that_leave_workers_without_secrets" {
  command         = plan
  expect_failures = [var.interface_endpoints]

  variables {
    interface_endpoints = ["ecr.api", "ecr.dkr", "logs"]
  }
}
