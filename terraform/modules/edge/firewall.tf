module "web_acl_cloudfront" {
  source = "./web-acl"
  count  = var.waf ? 1 : 0

  providers = { aws = aws.us_east_1 }

  name               = "${var.name}-cloudfront"
  scope              = "CLOUDFRONT"
  rate_limit         = var.rate_limit
  counted_rules      = var.waf_counted_rules
  log_kms_key_arn    = var.us_east_1_log_kms_key_arn
  log_retention_days = var.log_retention_days
  tags               = var.tags
}

# The second line: requests that reach the API's own address pass CloudFront by, and all requests end here.
module "web_acl_load_balancer" {
  source = "./web-acl"
  count  = var.waf ? 1 : 0

  name                = "${var.name}-load-balancer"
  scope               = "REGIONAL"
  rate_limit          = var.load_balancer_rate_limit
  forwarded_ip_header = local.client_ip_header
  counted_rules       = var.waf_counted_rules
  log_kms_key_arn     = var.log_kms_key_arn
  log_retention_days  = var.log_retention_days
  tags                = var.tags
}

resource "aws_wafv2_web_acl_association" "load_balancer" {
  count = var.waf ? 1 : 0

  resource_arn = var.load_balancer_arn
  web_acl_arn  = module.web_acl_load_balancer[0].arn
}
