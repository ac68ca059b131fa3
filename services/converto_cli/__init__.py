"""The command line `converto`. It speaks to the file service through `converto_client` and in no other way."""
