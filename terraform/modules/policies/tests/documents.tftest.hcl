# The documents are data: the real provider writes them without a call to AWS. That they allow and deny what they should
# is executed in tests/terraform/policies/test_roles.py of this repository.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  name       = "converto-test"
  account_id = "123456789012"
  region     = "eu-central-1"
  key_arns = {
    objects  = "arn:aws:kms:eu-central-1:123456789012:key/objects"
    secrets  = "arn:aws:kms:eu-central-1:123456789012:key/secrets"
    logs     = "arn:aws:kms:eu-central-1:123456789012:key/logs"
    database = "arn:aws:kms:eu-central-1:123456789012:key/database"
  }
  delivery = {
    state_bucket  = "converto-state-123456789012"
    state_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/state"
    state_prefix  = "test"
    boundary_arn  = "arn:aws:iam::123456789012:policy/converto-test-boundary"
    environment   = "test"
  }
}

run "documents_are_known_at_plan" {
  command = plan

  assert {
    condition = sort(keys(output.documents)) == tolist([
      "bucket", "deploy_boundary", "ecs_infrastructure", "execution", "execution_worker", "file_service", "flow_logs",
      "github_deploy", "github_plan", "housekeeping", "rotation", "s3_endpoint", "scheduler", "upload_queue", "worker",
    ])
    error_message = "A document of the contract is missing, or one is new and not listed here."
  }

  assert {
    condition     = alltrue([for document in values(output.documents) : length(document) <= 10240])
    error_message = "IAM takes 10,240 characters of inline policies for a role."
  }

  assert {
    condition     = length(output.documents["deploy_boundary"]) <= 6144
    error_message = "IAM takes 6,144 characters for a managed policy."
  }

  assert {
    condition     = output.bucket == "converto-test-objects-123456789012"
    error_message = "The bucket must be <name>-objects-<account id>."
  }

  # Resource "*" only where the service knows no resource, or where a condition limits the statement.
  assert {
    condition = length(flatten([
      for name, text in output.documents : [
        for statement in jsondecode(text).Statement : statement.Sid
        if statement.Effect == "Allow" && try(statement.Resource, "") == "*" && !can(statement.Condition) && !contains([
          "LogInToRegistry", "JoinNetwork", "ReadLoadBalancer", "FindLogGroup", "ReadSettings", "ReadRoles",
          "ByTag", "WithoutResource",
        ], statement.Sid)
      ]
    ])) == 0
    error_message = "A statement allows something on every resource."
  }

  # Only documents of roles that run Terraform may hold a wildcard for a whole service.
  assert {
    condition = alltrue(flatten([
      for name in ["file_service", "worker", "housekeeping", "execution", "execution_worker", "rotation", "ecs_infrastructure", "scheduler", "flow_logs"] : [
        for statement in jsondecode(output.documents[name]).Statement : [
          for action in flatten([statement.Action]) : !strcontains(action, "*") if statement.Effect == "Allow"
        ]
      ]
    ]))
    error_message = "A service role allows actions by wildcard."
  }

  # The keys of objects and secrets work through their service only. The boundary grants nothing.
  assert {
    condition = alltrue(flatten([
      for name, text in output.documents : [
        for statement in jsondecode(text).Statement : can(flatten([for test, keys in statement.Condition : keys["kms:ViaService"]]))
        if statement.Effect == "Allow" && name != "deploy_boundary" && anytrue([for action in flatten([try(statement.Action, [])]) : startswith(action, "kms:Decrypt")])
      ]
    ]))
    error_message = "A role may decrypt without going through a service."
  }
}

run "boundary_of_a_long_name_fits" {
  command = plan

  variables {
    name = "converto-preproduction"
    delivery = {
      state_bucket    = "converto-state-123456789012"
      state_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
      state_prefix    = "preproduction"
      boundary_arn    = "arn:aws:iam::123456789012:policy/converto-preproduction-boundary"
      environment     = "preproduction"
      neighbours      = ["converto-dev", "converto-staging", "converto-production"]
      hosted_zone_ids = ["Z0123456789ABCDEFGHIJ"]
    }
  }

  assert {
    condition     = length(output.documents["deploy_boundary"]) <= 6144
    error_message = "IAM takes 6,144 characters for a managed policy."
  }

  assert {
    condition     = contains(flatten([for statement in jsondecode(output.documents["deploy_boundary"]).Statement : try(statement.Resource, [])]), "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ")
    error_message = "The records of the named zones may change."
  }
}

run "plans_are_kept_in_their_own_folder" {
  command = plan

  assert {
    condition     = one([for statement in jsondecode(output.documents["github_plan"]).Statement : statement.Resource if statement.Sid == "KeepPlan"]) == "arn:aws:s3:::converto-state-123456789012/test/plans/*.tfplan"
    error_message = "A plan role writes plans of its own environment only."
  }
}

run "workers_never_see_the_administrators_key" {
  command = plan

  assert {
    condition     = !strcontains(output.documents.execution_worker, "bootstrap-api-key")
    error_message = "What starts a worker must not read the bootstrap API key."
  }

  assert {
    condition     = strcontains(output.documents.execution, "bootstrap-api-key")
    error_message = "The file service needs the bootstrap API key."
  }

  assert {
    condition     = !strcontains(output.documents.worker, "secretsmanager") && !strcontains(output.documents.worker, "sqs")
    error_message = "A worker's own role reads no secret and no queue."
  }
}

run "documents_of_github_need_delivery" {
  command = plan

  variables {
    delivery = null
  }

  assert {
    condition     = length(setintersection(keys(output.documents), ["github_plan", "github_deploy", "deploy_boundary"])) == 0
    error_message = "Without `delivery` there is no state to name, so there must be no document for GitHub."
  }
}

run "names_follow_the_environment" {
  command = plan

  variables {
    name      = "converto-other"
    partition = "aws-cn"
    region    = "cn-north-1"
    delivery  = null
  }

  assert {
    condition     = !strcontains(join("", values(output.documents)), "converto-test")
    error_message = "A document names another environment."
  }

  assert {
    condition     = strcontains(output.documents.file_service, "s3.cn-north-1.amazonaws.com.cn")
    error_message = "Hosts in China end with amazonaws.com.cn."
  }

  assert {
    condition     = !strcontains(join("", values(output.documents)), "arn:aws:s3")
    error_message = "An ARN has the wrong partition."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    name       = "Converto"
    account_id = "12"
    region     = "Frankfurt"
    partition  = "azure"
    bucket     = "arn:aws:s3:::objects"
    key_arns = {
      objects  = "alias/objects"
      secrets  = "alias/secrets"
      logs     = "alias/logs"
      database = "alias/database"
    }
    repository_prefix       = "*"
    longest_signature_age_s = 0
    delivery = {
      state_bucket  = "state"
      state_key_arn = "key"
      state_prefix  = "/"
      boundary_arn  = "boundary"
      environment   = "*"
    }
  }

  expect_failures = [
    var.name,
    var.account_id,
    var.region,
    var.partition,
    var.bucket,
    var.key_arns,
    var.repository_prefix,
    var.longest_signature_age_s,
    var.delivery,
  ]
}
