"""The object store on the S3 API; the only package that imports boto3."""
