terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
      # What belongs to CloudFront (its web ACL and its logs) exists in us-east-1 only.
      configuration_aliases = [aws.us_east_1]
    }
  }
}
