"""Production is applied to the double, read back with boto3 and destroyed (behaviours C9, C10)."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from tests.terraform.aws import ACCOUNT, Aws
from tests.terraform.reading import Found, read
from tests.terraform.workspace import Plan, Workspace, folders_of, variables_of

NAME, REGION = "converto-production", "eu-central-1"
FOLDER = "terraform/environments/production"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/{NAME}-boundary"
PAGE, STRANGER = "https://converto.example.com", "https://elsewhere.example"
DISPOSABLE = 'module "platform" {\n  is_disposable = true\n}\n'
# The provider waits a fixed time for many resources, 60 s for a load balancer: the more together, the sooner the end.
TOGETHER = "-parallelism=40"

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif("production" not in folders_of("environments"), reason="there is no production"),
]

Record = Callable[[str, object], None]


class Production(NamedTuple):
    """An applied environment: what was planned, and what AWS says exists."""

    aws: Aws
    workspace: Workspace
    arguments: list[str]
    plan: Plan
    applied: int
    found: Found
    preflights: dict[str, tuple[int, dict[str, str]]]


@pytest.fixture(scope="module")
def production(aws: Aws, workspace: Workspace) -> Production:
    """Apply production once; every test below looks at the same reading."""
    certificate = aws.client("acm", region=REGION).request_certificate(DomainName="origin.converto.internal")
    arguments = [
        *variables_of("environments/production"),
        f"-var=permissions_boundary_arn={BOUNDARY}",
        f"-var=origin_certificate_arn={certificate['CertificateArn']}",
    ]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    aws.client("iam", region=REGION).create_policy(
        PolicyName=BOUNDARY.rpartition("/")[2], PolicyDocument=json.dumps(everything)
    )
    workspace.init(FOLDER)
    plan = workspace.plan(FOLDER, *arguments, environment=aws.environment)
    workspace.run(FOLDER, "apply", "-no-color", TOGETHER, "planned", environment=aws.environment)
    found = read(aws, region=REGION, name=NAME)
    url = f"{aws.https_url}/{NAME}-objects-{ACCOUNT}/t/owner/in/1/1/source"
    preflights = {
        origin: aws.exchange(url, method="OPTIONS", Origin=origin, Access_Control_Request_Method="PUT")
        for origin in (PAGE, STRANGER)
    }
    return Production(aws, workspace, arguments, plan, workspace.state_count(FOLDER), found, preflights)


def test_the_very_plan_is_applied(production: Production, record_property: Record) -> None:
    assert production.applied == production.plan.created > 100
    record_property("planned", f"environments/production: {production.plan.created} resources")
    record_property(
        "applied", f"environments/production: {production.applied} resources, {production.plan.types} types"
    )


def test_every_taggable_resource_is_tagged(production: Production) -> None:
    expected = {"Application", "Environment", "ManagedBy"}
    untagged = [
        one["address"]
        for one in production.plan.resources
        if "tags_all" in one["change"]["after"] and not expected <= set(one["change"]["after"]["tags_all"] or {})
    ]

    assert untagged == []


def test_buckets_are_private_and_encrypted(production: Production, record_property: Record) -> None:
    buckets = {bucket["name"]: bucket for bucket in production.found["buckets"]}
    objects = buckets[f"{NAME}-objects-{ACCOUNT}"]

    assert f"{NAME}-access-logs-{ACCOUNT}" in buckets
    assert objects["encryption"]["SSEAlgorithm"] == "aws:kms"
    assert objects["encryption"]["KMSMasterKeyID"].startswith("arn:aws:kms:")
    for bucket in buckets.values():
        assert bucket["public_access"]["BlockPublicAcls"]
        assert bucket["public_access"]["BlockPublicPolicy"]
        assert bucket["versioning"] == "Enabled"
        assert bucket["ownership"] == "BucketOwnerEnforced"
        assert denies_plain_http(bucket["policy"])
    record_property("read back", f"{len(buckets)} buckets: private, encrypted, versioned, TLS only")


def denies_plain_http(policy: str) -> bool:
    return any(
        one["Effect"] == "Deny" and one.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
        for one in json.loads(policy)["Statement"]
    )


@pytest.mark.parametrize(("origin", "expected"), [(PAGE, 200), (STRANGER, 403)])
def test_browser_may_upload_from_the_page_only(
    production: Production, origin: str, expected: int, record_property: Record
) -> None:
    status, headers = production.preflights[origin]

    assert status == expected
    assert headers.get("access-control-allow-origin") == (PAGE if expected == 200 else None)
    if expected == 200:
        assert "PUT" in headers["access-control-allow-methods"]
        assert "ETag" in headers["access-control-expose-headers"]
    record_property("requested", f"preflight from {origin}: {expected}")


def test_uploads_lead_to_the_queue(production: Production, record_property: Record) -> None:
    queues = {queue["name"]: queue for queue in production.found["queues"]}
    events, dead = queues[f"{NAME}-upload-events"], queues[f"{NAME}-upload-events-dead"]
    (notification,) = next(one for one in production.found["buckets"] if "objects" in one["name"])["notification"]

    assert notification["QueueArn"] == events["QueueArn"]
    assert notification["Events"] == ["s3:ObjectCreated:*"]
    assert json.loads(events["RedrivePolicy"])["deadLetterTargetArn"] == dead["QueueArn"]
    assert denies_plain_http(events["Policy"])
    record_property("read back", f"{len(queues)} queues: events of the bucket, dead letters")


def test_database_is_encrypted_protected_and_spread(production: Production, record_property: Record) -> None:
    (cluster,) = production.found["clusters"]

    assert cluster["Engine"] == "docdb"
    assert cluster["StorageEncrypted"]
    assert cluster["DeletionProtection"]
    assert cluster["BackupRetentionPeriod"] >= 14
    assert cluster["MasterUserSecret"]["SecretArn"]
    assert len(production.found["instances"]) == 3
    assert {one["DBClusterIdentifier"] for one in production.found["instances"]} == {cluster["DBClusterIdentifier"]}
    record_property("read back", "1 database cluster of 3 instances: encrypted, protected, backed up")


def test_broker_is_a_private_cluster(production: Production, record_property: Record) -> None:
    (broker,) = production.found["brokers"]

    assert broker["DeploymentMode"] == "CLUSTER_MULTI_AZ"
    assert broker["EngineType"].upper() == "RABBITMQ"
    assert not broker["PubliclyAccessible"]
    record_property("read back", "1 broker cluster: private")


def test_containers_get_secrets_by_reference(production: Production, record_property: Record) -> None:
    tasks = production.found["tasks"]
    secret_arns = {secret["ARN"] for secret in production.found["secrets"]}
    containers = [container for task in tasks for container in task["containerDefinitions"]]

    assert len(tasks) >= 6
    for container in containers:
        assert "@sha256:" in container["image"]
        assert container["readonlyRootFilesystem"]
        assert container["user"].split(":")[0] not in {"", "0", "root"}
        assert container["secrets"]
        for secret in container["secrets"]:
            assert any(secret["valueFrom"].startswith(arn) for arn in secret_arns)
        named = {variable["name"] for variable in container["environment"]}
        assert not any(word in name for name in named for word in ("PASSWORD", "SECRET", "API_KEY"))
    record_property("read back", f"{len(containers)} containers: digests, read-only, no secret in an environment")


def test_roles_carry_boundary_and_documents(production: Production, record_property: Record) -> None:
    roles = {one["name"]: one for one in production.found["roles"] if one["name"].startswith(NAME)}

    assert {f"{NAME}-file-service-task", f"{NAME}-worker-office-task", f"{NAME}-rotation"} <= set(roles)
    assert [name for name, role in roles.items() if role["boundary"] != BOUNDARY] == []
    assert [name for name, role in roles.items() for arn in role["attached"] if "AdministratorAccess" in arn] == []
    for name, role in roles.items():
        assert not any(broad(policy) for policy in role["policies"].values()), name
    assert "bootstrap-api-key" not in json.dumps(roles[f"{NAME}-worker-office-execution"]["policies"])
    record_property("read back", f"{len(roles)} roles: each within the boundary, no wildcard of a whole service")


def broad(policy: str) -> bool:
    allowed = [one for one in json.loads(policy)["Statement"] if one["Effect"] == "Allow"]
    actions = [action for one in allowed for action in listed(one.get("Action", "*"))]
    return any(action == "*" or action.endswith(":*") for action in actions)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_security_group_is_open_to_the_world(production: Production, record_property: Record) -> None:
    open_to_all = [
        group["GroupName"]
        for group in production.found["groups"]
        for rule in group["IpPermissions"]
        if any(block["CidrIp"] == "0.0.0.0/0" for block in rule.get("IpRanges", []))
    ]

    assert production.found["groups"]
    assert open_to_all == []
    record_property("read back", f"{len(production.found['groups'])} security groups: none open to the world")


def test_keys_rotate_and_logs_are_encrypted(production: Production, record_property: Record) -> None:
    keys = [key for key in production.found["keys"] if key["KeyState"] == "Enabled" and NAME in key["Description"]]
    logs = [one for one in production.found["logs"] if one["logGroupName"].startswith(f"/{NAME}/")]

    assert len(keys) == 4
    assert all(key["rotates"] for key in keys)
    assert len(logs) >= 7
    assert [one["logGroupName"] for one in logs if not one.get("retentionInDays")] == []
    assert [one["logGroupName"] for one in logs if not one.get("kmsKeyId")] == []
    record_property("read back", f"{len(keys)} keys that rotate; {len(logs)} log groups: encrypted, with an end")


def test_way_in_is_private_behind_the_api(production: Production, record_property: Record) -> None:
    (balancer,) = production.found["balancers"]
    routes = production.found["routes"]

    assert balancer["Scheme"] == "internal"
    assert balancer["attributes"]["deletion_protection.enabled"] == "true"
    assert {one["Protocol"] for one in balancer["listeners"]} == {"HTTPS"}
    assert routes
    record_property("read back", f"1 internal load balancer, {len(routes)} routes of the API")


def test_care_is_taken(production: Production, record_property: Record) -> None:
    assert production.found["vaults"]
    assert production.found["budgets"]
    assert len(production.found["alarms"]) >= 10
    assert [one["Name"] for one in production.found["schedules"]] == [f"{NAME}-housekeeping"]
    record_property(
        "read back", f"{len(production.found['alarms'])} alarms, backup vault, budget, housekeeping schedule"
    )


def test_protected_environment_is_destroyed_on_purpose_only(production: Production, record_property: Record) -> None:
    workspace, environment = production.workspace, production.aws.environment

    with pytest.raises(ClientError, match=r"(?i)deletion.?protection|protected"):
        production.aws.client("docdb", region=REGION).delete_db_cluster(
            DBClusterIdentifier=production.found["clusters"][0]["DBClusterIdentifier"], SkipFinalSnapshot=True
        )
    (workspace.root / FOLDER / "disposable_override.tf").write_text(DISPOSABLE)
    for command in ("apply", "destroy"):
        arguments = [command, "-auto-approve", "-no-color", "-refresh=false", TOGETHER, *production.arguments]
        workspace.run(FOLDER, *arguments, environment=environment)

    assert workspace.state_count(FOLDER) == 0
    left = read_names(production.aws)
    assert left == []
    record_property("destroyed", f"environments/production: {production.applied} resources, none left")


def read_names(aws: Aws) -> list[str]:
    """Names of what an environment leaves behind."""

    def client(service: str) -> Any:
        return aws.client(service, region=REGION)

    named = [
        *(one["RoleName"] for one in client("iam").list_roles()["Roles"]),
        *(one["logGroupName"].lstrip("/") for one in client("logs").describe_log_groups()["logGroups"]),
        *(one["Name"] for one in client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]),
    ]
    return [
        *(one["Name"] for one in client("s3").list_buckets()["Buckets"]),
        *client("sqs").list_queues().get("QueueUrls", []),
        *(one["DBClusterIdentifier"] for one in client("docdb").describe_db_clusters()["DBClusters"]),
        *(one["DBInstanceIdentifier"] for one in client("docdb").describe_db_instances()["DBInstances"]),
        *(one["BrokerName"] for one in client("mq").list_brokers()["BrokerSummaries"]),
        *(one["LoadBalancerName"] for one in client("elbv2").describe_load_balancers()["LoadBalancers"]),
        *(one["Id"] for one in client("cloudfront").list_distributions()["DistributionList"].get("Items", [])),
        *(one["VpcId"] for one in client("ec2").describe_vpcs()["Vpcs"] if not one["IsDefault"]),
        *(one["Name"] for one in client("secretsmanager").list_secrets()["SecretList"]),
        *(name for name in named if name.startswith(NAME)),
    ]
