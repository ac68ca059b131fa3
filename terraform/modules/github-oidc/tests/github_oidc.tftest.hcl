mock_provider "aws" {
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/converto-mock-boundary" }
  }
}

variables {
  name                 = "converto"
  repository           = "example/converto"
  environments         = ["dev", "production"]
  plan_policy_json     = { dev = "{\"Statement\":[{\"Sid\":\"PlanDev\"}]}", production = "{\"Statement\":[{\"Sid\":\"PlanProduction\"}]}" }
  deploy_policy_json   = { dev = "{\"Statement\":[{\"Sid\":\"DeployDev\"}]}", production = "{\"Statement\":[{\"Sid\":\"DeployProduction\"}]}" }
  boundary_policy_json = { dev = "{\"Statement\":[]}", production = "{\"Statement\":[]}" }
}

run "deploy_role_is_bound_to_repository_and_environment" {
  command = apply

  assert {
    condition = jsondecode(aws_iam_role.deploy["production"].assume_role_policy).Statement[0].Condition == {
      StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = ["repo:example/converto:environment:production"]
      }
    }
    error_message = "Only jobs of the environment production of this repository may change production."
  }

  assert {
    condition     = aws_iam_role.deploy["production"].name == "converto-production-github-deploy"
    error_message = "The policies protect roles of this name from the roles themselves."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.deploy["dev"].policy).Statement[0].Sid == "DeployDev"
    error_message = "Each role gets the document of its environment."
  }
}

run "plan_role_is_bound_to_an_environment_without_reviewers" {
  command = apply

  assert {
    condition     = jsondecode(aws_iam_role.plan["production"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/converto:environment:production-plan"]
    error_message = "By default only jobs of production-plan may plan production."
  }
}

run "pull_requests_plan_only_where_allowed" {
  command = apply

  variables {
    pull_request_environments = ["dev"]
  }

  assert {
    condition     = contains(jsondecode(aws_iam_role.plan["dev"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"], "repo:example/converto:pull_request")
    error_message = "Pull requests may plan dev."
  }

  assert {
    condition     = !strcontains(aws_iam_role.plan["production"].assume_role_policy, "pull_request") && !strcontains(aws_iam_role.deploy["dev"].assume_role_policy, "pull_request")
    error_message = "Pull requests may not plan production, and may change nothing."
  }
}

run "every_environment_role_has_a_boundary" {
  command = apply

  assert {
    condition     = alltrue([for role in concat(values(aws_iam_role.plan), values(aws_iam_role.deploy)) : role.permissions_boundary != null && role.permissions_boundary != ""])
    error_message = "Without the boundary a deploy role could make itself an administrator."
  }

  assert {
    condition     = aws_iam_policy.boundary["dev"].name == "converto-dev-boundary"
    error_message = "The environments build the boundary's ARN from its name."
  }
}

run "no_publish_role_unless_asked_for" {
  command = apply

  assert {
    condition     = length(aws_iam_role.publish) == 0 && output.publish_role_arn == null
    error_message = "Without a policy there is no role."
  }
}

run "images_are_pushed_from_one_environment" {
  command = apply

  variables {
    publish_policy_json = "{\"Statement\":[]}"
  }

  assert {
    condition     = jsondecode(one(aws_iam_role.publish).assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/converto:environment:registry"]
    error_message = "Only jobs of the environment registry may push images."
  }
}

run "immutable_subjects_carry_the_numbers" {
  command = apply

  variables {
    repository_ids = { owner = 123456, repository = 456789 }
  }

  assert {
    condition     = jsondecode(aws_iam_role.deploy["dev"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example@123456/converto@456789:environment:dev"]
    error_message = "The subject carries the numbers of owner and repository."
  }
}

run "existing_provider_is_reused" {
  command = apply

  variables {
    provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && output.provider_arn == var.provider_arn
    error_message = "An account can have one provider of GitHub only."
  }
}

run "wildcard_repository_is_refused" {
  command = plan

  variables {
    repository = "example/*"
  }

  expect_failures = [var.repository]
}

run "environment_without_a_document_is_refused" {
  command = plan

  variables {
    deploy_policy_json = { dev = "{\"Statement\":[]}" }
  }

  expect_failures = [var.deploy_policy_json]
}

run "pull_requests_need_a_known_environment" {
  command = plan

  variables {
    pull_request_environments = ["qa"]
  }

  expect_failures = [var.pull_request_environments]
}

run "foreign_provider_is_refused" {
  command = plan

  variables {
    provider_arn = "arn:aws:iam::123456789012:oidc-provider/gitlab.example.com"
  }

  expect_failures = [var.provider_arn]
}
