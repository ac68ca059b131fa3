# Where the state of this folder lives, once it has made the bucket: see README.md. Bucket, region and key of KMS come
# from the file backend.hcl, because a backend cannot read variables.
terraform {
  backend "s3" {
    key          = "bootstrap/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
