"""The command line `converto`, built on `converto_client`."""
