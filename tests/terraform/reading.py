"""Reads an environment back from AWS with boto3, as plain data, without asking Terraform."""

import json
from typing import Any

from tests.terraform.aws import ACCOUNT, Aws

Found = dict[str, list[dict[str, Any]]]
"""What exists, by kind."""


def read(aws: Aws, *, region: str, name: str) -> Found:
    """Everything of an environment that the tests judge."""

    def client(service: str, in_region: str = region) -> Any:
        return aws.client(service, region=in_region)

    ec2, ecs = client("ec2"), client("ecs")
    return {
        "buckets": [_bucket(client("s3"), one["Name"]) for one in client("s3").list_buckets()["Buckets"]],
        "queues": [_queue(client("sqs"), url) for url in client("sqs").list_queues().get("QueueUrls", [])],
        "clusters": client("docdb").describe_db_clusters()["DBClusters"],
        "instances": client("docdb").describe_db_instances()["DBInstances"],
        "brokers": [
            client("mq").describe_broker(BrokerId=one["BrokerId"])
            for one in client("mq").list_brokers()["BrokerSummaries"]
        ],
        "secrets": client("secretsmanager").list_secrets(MaxResults=100)["SecretList"],
        "keys": [
            key
            for one in client("kms").list_keys()["Keys"]
            if (key := _key(client("kms"), one["KeyId"]))["KeyManager"] == "CUSTOMER"
        ],
        "roles": [_role(client("iam"), one) for one in client("iam").list_roles()["Roles"]],
        "groups": [
            one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"].startswith(name)
        ],
        "vpcs": [one for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]],
        "subnets": [one for one in ec2.describe_subnets()["Subnets"] if not one["DefaultForAz"]],
        "endpoints": ec2.describe_vpc_endpoints()["VpcEndpoints"],
        "logs": client("logs").describe_log_groups()["logGroups"],
        "tasks": [
            ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
            for arn in ecs.list_task_definitions()["taskDefinitionArns"]
        ],
        "services": ecs.describe_services(
            cluster=name, services=ecs.list_services(cluster=name, maxResults=100)["serviceArns"][:10]
        )["services"],
        "balancers": [
            _balancer(client("elbv2"), one) for one in client("elbv2").describe_load_balancers()["LoadBalancers"]
        ],
        "routes": [
            route
            for api in client("apigatewayv2").get_apis()["Items"]
            for route in client("apigatewayv2").get_routes(ApiId=api["ApiId"])["Items"]
        ],
        "schedules": [
            client("scheduler").get_schedule(Name=one["Name"], GroupName=one["GroupName"])
            for one in client("scheduler").list_schedules()["Schedules"]
        ],
        "alarms": [*client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "vaults": client("backup").list_backup_vaults()["BackupVaultList"],
        "budgets": client("budgets", "us-east-1").describe_budgets(AccountId=ACCOUNT).get("Budgets", []),
        "distributions": client("cloudfront", "us-east-1").list_distributions()["DistributionList"].get("Items", []),
    }


def _bucket(s3: Any, name: str) -> dict[str, Any]:
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    return {
        "name": name,
        "encryption": rules[0]["ApplyServerSideEncryptionByDefault"],
        "public_access": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
        "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
        "policy": s3.get_bucket_policy(Bucket=name)["Policy"],
        "ownership": s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"][0]["ObjectOwnership"],
        "notification": s3.get_bucket_notification_configuration(Bucket=name).get("QueueConfigurations", []),
    }


def _queue(sqs: Any, url: str) -> dict[str, Any]:
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {"name": url.rpartition("/")[2], **attributes}


def _key(kms: Any, key_id: str) -> dict[str, Any]:
    described: dict[str, Any] = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    return {**described, "rotates": kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"]}


def _role(iam: Any, role: dict[str, Any]) -> dict[str, Any]:
    name = role["RoleName"]
    policies = {
        policy: json.dumps(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    described = iam.get_role(RoleName=name)["Role"]
    return {
        "name": name,
        "policies": policies,
        "attached": [one["PolicyArn"] for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]],
        "boundary": described.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "trust": described["AssumeRolePolicyDocument"],
    }


def _balancer(elb: Any, balancer: dict[str, Any]) -> dict[str, Any]:
    arn = balancer["LoadBalancerArn"]
    pairs = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {
        **balancer,
        "attributes": {pair["Key"]: pair["Value"] for pair in pairs},
        "listeners": elb.describe_listeners(LoadBalancerArn=arn)["Listeners"],
    }
