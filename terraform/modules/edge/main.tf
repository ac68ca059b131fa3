locals {
  tags       = merge(var.tags, { Name = var.name })
  public_url = "https://${coalesce(var.domain_name, aws_cloudfront_distribution.this.domain_name)}"

  # Every entrance overwrites it, so a client cannot choose the address that it is counted by.
  client_ip_header = "x-converto-client-ip"
  # Where requests with an API key go: the same API, without the authorizer.
  api_key_prefix = "with-api-key"

  # The body of a request may have 10 MB here, and a form needs up to 1 MiB for its fields and boundaries.
  max_payload_bytes   = 10000000
  form_overhead_bytes = 1048576

  service_environment = {
    CONVERTO_PUBLIC_URL = local.public_url
    # The answer to `Prefer: wait=60` must leave before the API gives up; 5 s are for the reads before and after.
    CONVERTO_MAX_WAIT_S     = tostring(floor(var.integration_timeout_ms / 1000) - 5)
    CONVERTO_MAX_FORM_BYTES = tostring(local.max_payload_bytes - local.form_overhead_bytes)
  }
}
