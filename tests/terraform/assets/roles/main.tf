# The policy documents of one environment in use: each on a role that the tests can assume, and on a bucket.

variable "name" {
  description = "Name of the environment."
  type        = string
}

variable "account_id" {
  description = "Account of the double."
  type        = string
}

variable "region" {
  description = "Region of the double."
  type        = string
}

variable "key_arns" {
  description = "Keys of the tests by purpose; the provider waits long for a key and for a queue."
  type        = map(string)
}

provider "aws" {
  region = var.region
}

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

locals {
  boundary_arn = "arn:aws:iam::${var.account_id}:policy/${var.name}-boundary"

  # The boundary tells some roles by name, so these are called as in an environment.
  names = {
    file_service = "file-service-task"
    housekeeping = "housekeeping-task"
    worker       = "worker-office-task"
  }

  of_roles = toset(["file_service", "worker", "housekeeping", "execution", "execution_worker", "rotation", "ecs_infrastructure", "scheduler", "flow_logs", "github_plan", "github_deploy", "self_made"])

  # What somebody with the deploy role can make: a role that only the boundary limits.
  everything = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] })
}

module "policies" {
  source = "../../../../terraform/modules/policies"

  name       = var.name
  account_id = var.account_id
  region     = var.region
  partition  = "aws"
  key_arns   = { for purpose in ["objects", "secrets", "logs", "database"] : purpose => var.key_arns[purpose] }
  delivery = {
    state_bucket  = "${var.name}-state"
    state_key_arn = var.key_arns["state"]
    state_prefix  = "test"
    boundary_arn  = local.boundary_arn
    environment   = "test"
    neighbours    = ["converto-other"]
  }
}

resource "aws_iam_policy" "boundary" {
  name   = "${var.name}-boundary"
  policy = module.policies.documents["deploy_boundary"]
}

resource "aws_iam_role" "this" {
  for_each = local.of_roles

  name                 = "${var.name}-${lookup(local.names, each.key, replace(each.key, "_", "-"))}"
  permissions_boundary = aws_iam_policy.boundary.arn
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = "arn:aws:iam::${var.account_id}:root" } }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.of_roles

  name   = each.key
  role   = aws_iam_role.this[each.key].name
  policy = lookup(module.policies.documents, each.key, local.everything)
}

resource "aws_s3_bucket" "this" {
  bucket        = module.policies.bucket
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.key_arns["objects"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.bucket
  policy = module.policies.documents["bucket"]
}

output "roles" {
  description = "ARN of each role by document."
  value       = { for document, role in aws_iam_role.this : document => role.arn }
}

output "documents" {
  description = "All documents."
  value       = module.policies.documents
}

output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}
