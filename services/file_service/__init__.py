"""The file service: the HTTP API, records, presigned URLs, delivery of messages and events, housekeeping."""
