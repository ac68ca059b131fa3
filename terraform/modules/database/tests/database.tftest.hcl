mock_provider "aws" {
  mock_resource "aws_docdb_cluster" {
    defaults = {
      endpoint           = "converto-test-database.cluster-abc.eu-central-1.docdb.amazonaws.com"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-1" }]
    }
  }
}

variables {
  name                      = "converto-test"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-a", "subnet-b", "subnet-c"]
  availability_zones        = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  client_security_group_ids = { file-service = "sg-1", worker-image = "sg-2" }
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/database"
  log_kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/logs"
  tags                      = { environment = "test" }
}

run "is_encrypted_and_cannot_be_deleted_by_mistake" {
  command = apply

  assert {
    condition     = aws_docdb_cluster.this.storage_encrypted && aws_docdb_cluster.this.kms_key_id == var.kms_key_arn
    error_message = "The storage must be encrypted with the given key."
  }

  assert {
    condition     = aws_docdb_cluster.this.deletion_protection && !aws_docdb_cluster.this.skip_final_snapshot
    error_message = "Deletion protection and the final snapshot must be on by default."
  }

  assert {
    condition     = aws_docdb_cluster.this.backup_retention_period == 14
    error_message = "The cluster must be restorable to any second of 14 days."
  }
}

run "accepts_tls_only_and_writes_an_audit_log" {
  command = apply

  assert {
    condition     = one([for parameter in aws_docdb_cluster_parameter_group.this.parameter : parameter.value if parameter.name == "tls"]) == "enabled"
    error_message = "TLS must be required."
  }

  assert {
    condition = (
      one([for parameter in aws_docdb_cluster_parameter_group.this.parameter : parameter.value if parameter.name == "audit_logs"]) == "enabled"
      && toset(aws_docdb_cluster.this.enabled_cloudwatch_logs_exports) == toset(["audit", "profiler"])
    )
    error_message = "The audit log must be on and reach CloudWatch."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == var.log_kms_key_arn])
    error_message = "Log groups must be encrypted with the given key."
  }
}

run "spreads_three_instances_over_three_zones" {
  command = apply

  assert {
    condition     = toset([for instance in aws_docdb_cluster_instance.this : instance.availability_zone]) == toset(var.availability_zones)
    error_message = "Each zone must have an instance."
  }
}

run "keeps_the_master_password_out_of_the_state" {
  command = apply

  assert {
    condition     = aws_docdb_cluster.this.manage_master_user_password && aws_docdb_cluster.this.master_password == null
    error_message = "DocumentDB must make the master password."
  }

  assert {
    condition     = output.master_secret_arn == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-1"
    error_message = "The output must name the secret of the master user."
  }
}

run "lets_only_named_clients_in" {
  command = apply

  assert {
    condition = (
      keys(aws_vpc_security_group_ingress_rule.client) == ["file-service", "worker-image"]
      && alltrue([for rule in aws_vpc_security_group_ingress_rule.client : rule.cidr_ipv4 == null && rule.from_port == 27017 && rule.to_port == 27017])
    )
    error_message = "Only the clients' security groups may connect, to port 27017."
  }
}

run "builds_a_url_without_credentials" {
  command = apply

  assert {
    condition     = output.url == "mongodb://converto-test-database.cluster-abc.eu-central-1.docdb.amazonaws.com:27017/?tls=true&tlsCAFile=/etc/ssl/certs/amazon-rds.pem&replicaSet=rs0&readPreference=primary&retryWrites=false"
    error_message = "The URL must require TLS with Amazon's CA, name the replica set and hold no credentials."
  }
}

run "two_environments_fit_in_one_account" {
  command = apply

  assert {
    condition = alltrue([
      for resource_name in [
        aws_docdb_cluster.this.cluster_identifier, aws_docdb_subnet_group.this.name, aws_security_group.this.name,
        aws_docdb_cluster_parameter_group.this.name, aws_docdb_cluster.this.final_snapshot_identifier,
      ] : startswith(resource_name, "converto-test")
    ])
    error_message = "Every name must start with the environment's."
  }

  assert {
    condition     = alltrue([for tags in [aws_docdb_cluster.this.tags, aws_docdb_subnet_group.this.tags, aws_security_group.this.tags] : tags["environment"] == "test"])
    error_message = "The tags must reach every resource."
  }
}

run "refuses_unusable_settings" {
  command = plan

  variables {
    name                  = "Converto"
    availability_zones    = ["eu-central-1a", "eu-central-1a"]
    subnet_ids            = ["subnet-a"]
    instance_count        = 0
    instance_class        = "r6g.large"
    engine_version        = "4.0.0"
    backup_retention_days = 0
    kms_key_arn           = "alias/database"
    storage_type          = "gp3"
  }

  expect_failures = [
    var.name, var.availability_zones, var.subnet_ids, var.instance_count, var.instance_class, var.engine_version,
    var.backup_retention_days, var.kms_key_arn, var.storage_type,
  ]
}
