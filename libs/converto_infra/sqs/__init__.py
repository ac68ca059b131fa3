"""Upload events from an SQS queue; imports boto3, like the package of the object store."""
