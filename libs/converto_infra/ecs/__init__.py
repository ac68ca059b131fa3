"""Adapter of Amazon ECS, as a container sees it from inside its task."""
