"""Keys and access tokens of an OpenID Connect issuer."""
