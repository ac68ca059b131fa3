"""Why a rollout ends early, and the exit status that tells a workflow what to expect of the services."""

EXIT_DONE = 0
EXIT_ROLLED_BACK = 1
"""The release failed; every service runs what it ran before."""
EXIT_REFUSED = 2
"""Nothing was changed: the input is wrong, AWS refused a first look, or another deployment is running."""
EXIT_HALF_WAY = 3
"""Some service is not known to be in order; the last lines say which one, and what to do."""
EXIT_INTERRUPTED = 130
"""Stopped by SIGINT or SIGTERM; a rollback was requested and not waited for."""


class RolloutError(Exception):
    """Base; the text is for the person who reads the workflow's log."""


class Refused(RolloutError):
    """Raised before anything was changed."""


class AwsRefused(RolloutError):
    """Raised when AWS does not permit a call or finds it wrong; repeating it cannot help."""


class CredentialsExpired(AwsRefused):
    """Raised when the session of the AWS role has ended: no further call can succeed, a rollback neither."""


class AwsUnavailable(RolloutError):
    """Raised when AWS throttles, fails or cannot be reached; a later call may succeed."""


class DeploymentFailed(RolloutError):
    """Raised when a service does not run the release; `is_rolled_back` tells whether ECS confirmed the old one."""

    def __init__(self, text: str, *, is_rolled_back: bool = False) -> None:
        super().__init__(text)
        self.is_rolled_back = is_rolled_back


class Interrupted(BaseException):
    """Raised by the signal handlers; not an Exception, so that no handler of errors swallows it."""
