# Amazon DocumentDB: one writer and replicas in other zones, reachable with TLS from the services only.

locals {
  port    = 27017
  zones   = var.availability_zones
  indexes = toset([for index in range(var.instance_count) : tostring(index)])
}

resource "aws_docdb_subnet_group" "this" {
  name        = "${var.name}-database"
  description = "Subnets of the database of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "Database of ${var.name}: accepts its clients, opens no connection"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-database" })

  lifecycle {
    create_before_destroy = true
  }
}

# Rules are resources of their own, so that the module `secrets` can add the rotation function.
resource "aws_vpc_security_group_ingress_rule" "client" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "MongoDB protocol with TLS from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  tags                         = merge(var.tags, { Name = "${var.name}-database-${each.key}" })
}

resource "aws_docdb_cluster_parameter_group" "this" {
  name        = "${var.name}-database"
  family      = "docdb5.0"
  description = "TLS only, audit log and profiler for ${var.name}"
  tags        = var.tags

  parameter {
    name         = "tls"
    value        = "enabled"
    apply_method = "pending-reboot"
  }

  # Who connected, and every change of users, collections and indexes.
  parameter {
    name         = "audit_logs"
    value        = "enabled"
    apply_method = "immediate"
  }

  parameter {
    name         = "profiler"
    value        = "enabled"
    apply_method = "immediate"
  }

  parameter {
    name         = "profiler_threshold_ms"
    value        = tostring(var.slow_operation_ms)
    apply_method = "immediate"
  }
}

# Made before the cluster, which would otherwise make them without a key and without a retention.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["audit", "profiler"])

  name              = "/aws/docdb/${var.name}-database/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_docdb_cluster" "this" {
  cluster_identifier              = "${var.name}-database"
  engine                          = "docdb"
  engine_version                  = var.engine_version
  port                            = local.port
  db_subnet_group_name            = aws_docdb_subnet_group.this.name
  vpc_security_group_ids          = [aws_security_group.this.id]
  db_cluster_parameter_group_name = aws_docdb_cluster_parameter_group.this.name

  # DocumentDB makes the password, keeps it in Secrets Manager and changes it every week; it never enters the state.
  master_username             = "convertomaster"
  manage_master_user_password = true

  storage_encrypted = true
  kms_key_id        = var.kms_key_arn
  storage_type      = var.storage_type

  backup_retention_period      = var.backup_retention_days
  preferred_backup_window      = var.backup_window
  preferred_maintenance_window = var.maintenance_window
  apply_immediately            = var.apply_immediately
  deletion_protection          = var.deletion_protection
  skip_final_snapshot          = !var.final_snapshot
  final_snapshot_identifier    = var.final_snapshot ? "${var.name}-final" : null

  enabled_cloudwatch_logs_exports = ["audit", "profiler"]
  tags                            = var.tags

  depends_on = [aws_cloudwatch_log_group.this]
}

resource "aws_docdb_cluster_instance" "this" {
  for_each = local.indexes

  identifier         = "${var.name}-database-${each.key}"
  cluster_identifier = aws_docdb_cluster.this.id
  engine             = "docdb"
  instance_class     = var.instance_class
  availability_zone  = local.zones[tonumber(each.key) % length(local.zones)]
  promotion_tier     = tonumber(each.key) == 0 ? 0 : 1
  ca_cert_identifier = "rds-ca-rsa2048-g1"

  auto_minor_version_upgrade      = true
  preferred_maintenance_window    = var.maintenance_window
  apply_immediately               = var.apply_immediately
  copy_tags_to_snapshot           = true
  enable_performance_insights     = var.performance_insights
  performance_insights_kms_key_id = var.performance_insights ? var.kms_key_arn : null

  tags = var.tags
}
