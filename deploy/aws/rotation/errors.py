"""What ends a rotation. Secrets Manager tries it again later; services go on with the current secret."""


class RotationFailed(Exception):
    """Why the rotation ended, and what to do. Its text holds no secret."""
