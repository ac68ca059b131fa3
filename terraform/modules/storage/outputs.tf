output "bucket" {
  description = "Bucket of the objects, for CONVERTO_S3_BUCKET."
  value       = aws_s3_bucket.objects.id

  # Nobody may write to the bucket before it is private, encrypted and versioned.
  depends_on = [
    aws_s3_bucket_policy.objects,
    aws_s3_bucket_public_access_block.objects,
    aws_s3_bucket_server_side_encryption_configuration.objects,
    aws_s3_bucket_versioning.objects,
  ]
}

output "bucket_arn" {
  description = "ARN of the bucket of the objects."
  value       = aws_s3_bucket.objects.arn
}

output "bucket_domain_name" {
  description = "Host name of the bucket in its region, for the content security policy of the page."
  value       = aws_s3_bucket.objects.bucket_regional_domain_name
}

output "access_log_bucket" {
  description = "Bucket of the access logs. The load balancer writes under load-balancer/, CloudFront under edge/."
  value       = aws_s3_bucket.access_logs.id

  # The load balancer tries to write a test object when its logs are switched on.
  depends_on = [aws_s3_bucket_policy.access_logs]
}

output "access_log_prefixes" {
  description = "Prefixes that the policy of the access log bucket admits."
  value       = { load_balancer = "load-balancer", edge = "edge" }
}
