mock_provider "aws" {
  mock_resource "aws_ecr_repository" {
    defaults = {
      arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/mock"
      repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mock"
    }
  }
}

variables {
  name                 = "converto"
  repositories         = ["file-service", "rotation"]
  lambda_repositories  = ["rotation"]
  lambda_function_arns = ["arn:aws:lambda:eu-central-1:123456789012:function:converto-*"]
}

run "tags_cannot_move_and_images_are_scanned" {
  command = apply

  assert {
    condition     = toset([for repository in aws_ecr_repository.this : repository.name]) == toset(["converto/file-service", "converto/rotation"])
    error_message = "Repositories are named <name>/<repository>."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE"])
    error_message = "A tag must never point to another image."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : one(repository.image_scanning_configuration).scan_on_push])
    error_message = "Every pushed image is scanned."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : one(repository.encryption_configuration).encryption_type == "KMS"])
    error_message = "Images are encrypted with KMS."
  }

  assert {
    condition     = !anytrue([for repository in aws_ecr_repository.this : repository.force_delete])
    error_message = "A destroy must not delete images by default."
  }

  assert {
    condition     = output.registry == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    error_message = "The registry is the host name without a repository."
  }
}

run "old_images_expire" {
  command = apply

  assert {
    condition = [
      for rule in jsondecode(aws_ecr_lifecycle_policy.this["file-service"].policy).rules : rule.selection.countNumber
    ] == [100]
    error_message = "Images go after a hundred newer ones."
  }

  assert {
    condition = alltrue([
      for rule in jsondecode(aws_ecr_lifecycle_policy.this["file-service"].policy).rules : rule.selection.tagStatus == "tagged"
    ])
    error_message = "Signatures are untagged, and must stay as long as their image."
  }
}

run "only_lambda_of_this_account_may_pull" {
  command = apply

  assert {
    condition     = keys(aws_ecr_repository_policy.lambda) == ["rotation"]
    error_message = "Only the repository of the function has a policy."
  }

  assert {
    condition     = jsondecode(aws_ecr_repository_policy.lambda["rotation"].policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == ["arn:aws:lambda:eu-central-1:123456789012:function:converto-*"]
    error_message = "Functions of other accounts must not pull."
  }
}

run "few_kept_images_are_refused" {
  command = plan

  variables {
    kept_images = 3
  }

  expect_failures = [var.kept_images]
}

run "lambda_without_functions_is_refused" {
  command = plan

  variables {
    lambda_function_arns = []
  }

  expect_failures = [var.lambda_function_arns]
}

run "unknown_lambda_repository_is_refused" {
  command = plan

  variables {
    lambda_repositories = ["other"]
  }

  expect_failures = [var.lambda_repositories]
}
