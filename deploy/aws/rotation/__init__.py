"""The Lambda function with which Secrets Manager rotates the logins of database and broker, and the first API key."""
