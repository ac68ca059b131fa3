mock_provider "aws" {}

variables {
  name              = "converto-test"
  monthly_limit_usd = 200
  emails            = ["operations@example.com"]
}

run "people_hear_before_the_limit_and_of_the_forecast" {
  command = apply

  assert {
    condition     = aws_budgets_budget.monthly.name == "converto-test-monthly" && aws_budgets_budget.monthly.limit_amount == "200" && aws_budgets_budget.monthly.time_unit == "MONTHLY"
    error_message = "The budget is monthly and carries the given limit."
  }

  assert {
    condition     = toset([for one in aws_budgets_budget.monthly.notification : "${one.notification_type} ${one.threshold}"]) == toset(["ACTUAL 50", "ACTUAL 80", "ACTUAL 100", "FORECASTED 100"])
    error_message = "Half, four fifths and all of the limit, and a forecast above it."
  }

  assert {
    condition     = alltrue([for one in aws_budgets_budget.monthly.notification : one.subscriber_email_addresses == toset(["operations@example.com"])])
    error_message = "Every notification reaches somebody."
  }

  assert {
    condition     = length(aws_budgets_budget.monthly.cost_filter) == 0
    error_message = "Without tags the whole account counts."
  }
}

run "tags_narrow_it_to_one_environment" {
  command = apply

  variables {
    cost_tags = { Environment = ["production"] }
  }

  assert {
    condition     = one(aws_budgets_budget.monthly.cost_filter).values == tolist(["user:Environment$production"])
    error_message = "Only resources of the environment count."
  }
}

run "budget_without_readers_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}

run "budget_of_nothing_is_refused" {
  command = plan

  variables {
    monthly_limit_usd = 0
  }

  expect_failures = [var.monthly_limit_usd]
}

run "five_thresholds_are_refused" {
  command = plan

  variables {
    actual_thresholds = [10, 20, 30, 40, 50]
  }

  expect_failures = [var.actual_thresholds]
}
