output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "IPv4 range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Public subnets, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Private subnets, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "data_subnet_ids" {
  description = "Subnets without a way out of the VPC, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.data[zone].id]
}

output "private_route_table_ids" {
  description = "Route tables of the private subnets, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_route_table.private[zone].id]
}

output "s3_endpoint_id" {
  description = "Gateway endpoint of S3, for conditions on aws:SourceVpce."
  value       = aws_vpc_endpoint.s3.id
}

output "s3_prefix_list_id" {
  description = "Prefix list of S3, for egress rules of security groups."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "endpoint_security_group_id" {
  description = "Security group of the interface endpoints, for egress rules."
  value       = aws_security_group.endpoints.id
}

output "nat_public_ips" {
  description = "Addresses from which the workloads reach the internet, for the allow lists of webhook receivers."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}

output "flow_log_group_name" {
  description = "Log group of the flow logs."
  value       = aws_cloudwatch_log_group.flow_logs.name
}
