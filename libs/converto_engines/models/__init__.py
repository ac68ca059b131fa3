"""Exact models and meshes, and pictures of them."""
