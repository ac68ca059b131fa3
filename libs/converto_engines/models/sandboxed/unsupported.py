"""The error for a sound model that needs what no program here reads."""


class Unsupported(Exception):
    """Raised with a text for the user that names what is not supported and what to do."""
