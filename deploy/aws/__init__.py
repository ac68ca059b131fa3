"""Brings a release to the services on Amazon ECS, tries it, and takes it back when it does not work."""
