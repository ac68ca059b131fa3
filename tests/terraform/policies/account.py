"""An account of the double in which every policy document is in use, with something to allow and something to deny."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.terraform.aws import ACCOUNT, Aws, Credentials
from tests.terraform.workspace import ASSETS, Workspace

NAME, OTHER, REGION = "converto-test", "converto-other", "eu-central-1"
STATE_BUCKET = f"{NAME}-state"
ROLES = ASSETS / "roles"
SECRETS = ("database", "broker", "bootstrap-api-key", "broker-bootstrap", "sealing-key")
FAMILIES = ("file-service", "worker-office", "housekeeping")


class Account(NamedTuple):
    """What the tests name in their calls; `roles` are their ARNs and `sessions` their credentials, by document."""

    aws: Aws
    bucket: str
    queue_url: str
    keys: dict[str, str]
    roles: dict[str, str]
    sessions: dict[str, Credentials]
    documents: dict[str, str]
    known: dict[str, str]
    clients: dict[tuple[str, str, str], Any]

    def client(self, service: str, document: str, *, region: str = REGION) -> Any:
        """A client that acts as the role of a document; a new one takes as long as ten calls."""
        wanted = (service, document, region)
        if wanted not in self.clients:
            self.clients[wanted] = self.aws.client(service, region=region, credentials=self.sessions[document])
        return self.clients[wanted]


def furnish(aws: Aws, workspace: Workspace) -> Account:
    """Make keys, apply the roles and the bucket by Terraform, and make the rest that calls need."""
    keys = {purpose: _key(aws, "test") for purpose in ("objects", "secrets", "logs", "database")}
    keys |= {"state": _key(aws, "bootstrap"), "other": _key(aws, "other")}
    variables = {"name": NAME, "account_id": ACCOUNT, "region": REGION, "key_arns": json.dumps(keys)}
    arguments = [f"-var={name}={value}" for name, value in variables.items()]
    workspace.init(ROLES)
    workspace.run(ROLES, "apply", "-auto-approve", "-no-color", *arguments, environment=aws.environment)
    outputs = workspace.outputs(ROLES)
    known: dict[str, str] = {}
    for part in (_queues, _secrets, _logs, _images, _containers, _load_balancers, _state, _others):
        known.update(part(aws, keys, outputs))
    _objects(aws, outputs["bucket"])
    return Account(
        aws=aws,
        bucket=outputs["bucket"],
        queue_url=known["queue_url"],
        keys=keys,
        roles=outputs["roles"],
        sessions={document: aws.assume(arn, region=REGION) for document, arn in outputs["roles"].items()},
        documents=outputs["documents"],
        known=known,
        clients={},
    )


def _key(aws: Aws, environment: str) -> str:
    tags = [{"TagKey": "Environment", "TagValue": environment}]
    return str(aws.client("kms", region=REGION).create_key(Tags=tags)["KeyMetadata"]["Arn"])


def _queues(aws: Aws, _keys: dict[str, str], outputs: dict[str, Any]) -> dict[str, str]:
    sqs = aws.client("sqs", region=REGION)
    policy = outputs["documents"]["upload_queue"]
    url = sqs.create_queue(QueueName=f"{NAME}-upload-events", Attributes={"Policy": policy})["QueueUrl"]
    other = sqs.create_queue(QueueName=f"{OTHER}-upload-events")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    # Hidden, because the adapters' test deletes every message that it receives.
    handle = sqs.receive_message(QueueUrl=url, VisibilityTimeout=3600)["Messages"][0]["ReceiptHandle"]
    return {"queue_url": url, "other_queue_url": other, "receipt": handle}


def _secrets(aws: Aws, keys: dict[str, str], _outputs: dict[str, Any]) -> dict[str, str]:
    secrets_client = aws.client("secretsmanager", region=REGION)
    names = {**{name: f"{NAME}/{name}" for name in SECRETS}, "other": f"{OTHER}/database"}
    names |= {"master": "rds!cluster-0815", "other master": "rds!cluster-4711"}
    clusters = {"master": NAME, "other master": OTHER}
    made = {
        name: secrets_client.create_secret(
            Name=full, SecretString="{}", KmsKeyId=keys["secrets"], Tags=_cluster_tags(clusters.get(name))
        )
        for name, full in names.items()
    }
    arns = {f"secret {name}": secret["ARN"] for name, secret in made.items()}
    return {**arns, "version": made["database"]["VersionId"]}


def _cluster_tags(name: str | None) -> list[dict[str, str]]:
    cluster = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{name}-database"
    return [{"Key": "aws:rds:primaryDBClusterArn", "Value": cluster}] if name else []


def _logs(aws: Aws, _keys: dict[str, str], _outputs: dict[str, Any]) -> dict[str, str]:
    logs = aws.client("logs", region=REGION)
    for name in (NAME, OTHER):
        for group in ("file-service", "worker-office", "rotation", "flow-logs"):
            logs.create_log_group(logGroupName=f"/{name}/{group}")
            logs.create_log_stream(logGroupName=f"/{name}/{group}", logStreamName="made")
    return {}


def _images(aws: Aws, _keys: dict[str, str], _outputs: dict[str, Any]) -> dict[str, str]:
    ecr = aws.client("ecr", region=REGION)
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"})
    for repository in ("converto/file-service", "elsewhere/file-service"):
        ecr.create_repository(repositoryName=repository)
        ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag="one")
    return {"manifest": manifest}


def _containers(aws: Aws, _keys: dict[str, str], outputs: dict[str, Any]) -> dict[str, str]:
    ecs, iam = aws.client("ecs", region=REGION), aws.client("iam", region=REGION)
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    subnet = aws.client("ec2", region=REGION).describe_subnets()["Subnets"][0]
    groups = aws.client("ec2", region=REGION).describe_security_groups()["SecurityGroups"]
    made = {arn.rpartition("/")[2] for arn in outputs["roles"].values()}
    for name in (NAME, OTHER):
        ecs.create_cluster(clusterName=name)
        for family in FAMILIES:
            for role in {f"{name}-{family}-task", f"{name}-{family}-execution"} - made:
                iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
            ecs.register_task_definition(**definition(name, family))
        ecs.create_service(
            cluster=name, serviceName="file-service", taskDefinition=f"{name}-file-service", desiredCount=0
        )
    own = [group["GroupId"] for group in groups if group["VpcId"] == subnet["VpcId"]]
    network = {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]], "securityGroups": own[:1]}}
    task = ecs.run_task(
        cluster=NAME, taskDefinition=f"{NAME}-worker-office", launchType="FARGATE", networkConfiguration=network
    )["tasks"][0]
    return {"task": task["taskArn"], "subnet": subnet["SubnetId"], "group": own[0]}


def definition(name: str, family: str) -> dict[str, Any]:
    """Arguments of `register_task_definition` for a family of an environment."""
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}-{family}"
    return {
        "family": f"{name}-{family}",
        "taskRoleArn": f"{role}-task",
        "executionRoleArn": f"{role}-execution",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": family, "image": "image"}],
    }


def _load_balancers(aws: Aws, _keys: dict[str, str], _outputs: dict[str, Any]) -> dict[str, str]:
    elb, ec2 = aws.client("elbv2", region=REGION), aws.client("ec2", region=REGION)
    subnets = ec2.describe_subnets()["Subnets"]
    found: dict[str, str] = {}
    for name in (NAME, OTHER):
        balancer = elb.create_load_balancer(
            Name=name, Scheme="internal", Subnets=[subnet["SubnetId"] for subnet in subnets[:2]]
        )["LoadBalancers"][0]["LoadBalancerArn"]
        group = elb.create_target_group(
            Name=f"{name}-blue", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"], TargetType="ip"
        )["TargetGroups"][0]["TargetGroupArn"]
        forward = [{"Type": "forward", "TargetGroupArn": group}]
        listener = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward)[
            "Listeners"
        ][0]["ListenerArn"]
        condition = [{"Field": "path-pattern", "Values": ["/*"]}]
        rule = elb.create_rule(ListenerArn=listener, Priority=1, Conditions=condition, Actions=forward)["Rules"][0]
        found.update(
            {
                f"{name} balancer": balancer,
                f"{name} group": group,
                f"{name} listener": listener,
                f"{name} rule": rule["RuleArn"],
            }
        )
    return found


def _state(aws: Aws, _keys: dict[str, str], _outputs: dict[str, Any]) -> dict[str, str]:
    s3 = aws.client("s3", region=REGION)
    location = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=STATE_BUCKET, CreateBucketConfiguration=location)
    for prefix in ("test", "production"):
        s3.put_object(Bucket=STATE_BUCKET, Key=f"{prefix}/terraform.tfstate", Body=b"{}")
    s3.create_bucket(Bucket="of-somebody-else", CreateBucketConfiguration=location)
    s3.put_object(Bucket="of-somebody-else", Key="one", Body=b"1")
    return {}


def _others(aws: Aws, keys: dict[str, str], _outputs: dict[str, Any]) -> dict[str, str]:
    kms, ec2 = aws.client("kms", region=REGION), aws.client("ec2", region=REGION)
    made = {
        name: kms.encrypt(KeyId=keys[key], Plaintext=b"1")["CiphertextBlob"].hex()
        for name, key in (("ciphertext", "objects"), ("other ciphertext", "other"))
    }
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "Environment", "Value": "other"}]}]
    group = ec2.create_security_group(GroupName=OTHER, Description=OTHER, TagSpecifications=tags)
    return {**made, "other group": group["GroupId"]}


def _objects(aws: Aws, bucket: str) -> None:
    s3 = aws.client("s3", region=REGION)
    for key in samples():
        s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    s3.put_object(Bucket=bucket, Key="elsewhere/one", Body=b"content")
    s3.put_object(Bucket=bucket, Key="converto/database", Body=b"id")


def samples() -> Iterator[str]:
    """Keys of objects that exist."""
    yield SOURCE
    yield OUTPUT


SOURCE = "t/owner/in/11111111-1111-4111-8111-111111111111/1/source"
OUTPUT = "t/owner/out/22222222-2222-4222-8222-222222222222/1/result.pdf"
