"""The file service: takes requests, hands out presigned URLs, keeps the records, wakes workers up."""
