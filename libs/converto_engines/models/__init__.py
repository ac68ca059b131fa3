"""Converters of exact (CAD) models and meshes, and of both to pictures."""
