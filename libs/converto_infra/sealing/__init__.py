"""Encrypts the passwords of sources while a conversion needs them."""
