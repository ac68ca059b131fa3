"""Decrypts the sources of a job before a PDF converter reads them: some readers take passwords as arguments only."""

from pathlib import Path

import msgspec

from converto_engines.converter import Job
from converto_engines.runtime import responses
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram


class Unlocking:
    """Opens encrypted PDFs with the password of the job."""

    def __init__(self, sandbox: Sandbox) -> None:
        """`sandbox` runs a new process for every job with a password."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(sandbox, "pdf.sandboxed.unlocking", packages=("pikepdf", "PIL"))

    async def unlocked(self, job: Job) -> Job:
        """Return the job with decrypted copies, in its folder, of the sources that need the password.

        Raises `WrongPassword`. Without a password it returns the same job.
        """
        if job.password is None:
            return job
        job.report(0, "opening the PDF")
        sources = (job.source, *job.more)
        copies = [job.folder / f"unlocked-{number}.pdf" for number in range(1, len(sources) + 1)]
        child = await self._program.start(job.folder, job.limits)
        try:
            files = [[self._inside(job, path) for path in pair] for pair in zip(sources, copies, strict=True)]
            request = {"files": files, "password": job.password.reveal()}
            response = await child.request(request, timeout_s=job.limits.wall_s)
            unlocked = responses.result_of(response, child.stderr_tail)["unlocked"]
        finally:
            await child.stop(grace_s=0)
        source, *more = [
            copy if is_unlocked else original
            for original, copy, is_unlocked in zip(sources, copies, unlocked, strict=True)
        ]
        return msgspec.structs.replace(job, source=source, more=tuple(more), password=None)

    def _inside(self, job: Job, path: Path) -> str:
        return self._sandbox.path_inside(job.folder, path)
