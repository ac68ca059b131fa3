"""Requests to create a conversion, as a client repeats them under one Idempotency-Key until it knows the outcome."""

from collections import Counter
from pathlib import Path
from typing import Any

from converto_core.access import NewIds
from converto_core.errors import ConvertoError
from file_service.conversions.submission import Created, FormUpload, Submission
from file_service.http.idempotency import Answer, IdempotentRequest
from file_service.http.schemas.conversions import FormFields, NewConversion
from file_service.http.schemas.files import NewFile

OWNER = "anna"
PATH = "/api/v1/conversions"
FORM_LIMIT_BYTES = 1_000_000

SOURCE = b"some words\n" * 8
OTHER = b"more words\n" * 8
PAGES = b"page words\n" * 8
"""As large as the others; its conversion has three outputs."""
OF_ANOTHER_TYPE = b"\x89PNG\r\n\x1a\n".ljust(len(SOURCE), b"\0")
OF_ANOTHER_SIZE = SOURCE * 2


def made_of(source: bytes) -> tuple[bytes, ...]:
    """What the scripted program makes of a source, one body per output: no two sources have the same result."""
    count = 3 if source.startswith(b"page") else 1
    return tuple(b"page %d of %d of " % (number, count) + source for number in range(1, count + 1))


class Creation:
    """One request and all that its client has got for it."""

    sends_body = False

    def __init__(self, number: int, body: bytes) -> None:
        """`body` is what the client wants to have converted."""
        self.key, self.body = f"key-{number}", body
        self.ids: set[str] = set()
        """The ids under which its conversion may have been stored."""
        self.answers: list[Answer] = []
        self.refusals: Counter[str] = Counter()
        self.last_refusal: ConvertoError | None = None

    @property
    def request(self) -> IdempotentRequest:
        return IdempotentRequest(owner=OWNER, path=PATH, request_id="request", key=self.key)

    @property
    def content(self) -> Any:
        return NewConversion(target_format="pdf", file=NewFile(filename="notes.txt", size_bytes=len(self.body)))

    async def submit(self, submission: Submission, new_ids: NewIds) -> Created:
        return await submission.create(OWNER, self.content, new_ids)

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.last_refusal = None

    def refused(self, error: ConvertoError) -> None:
        self.refusals[error.stable_code] += 1
        self.last_refusal = error


class CreationForFile(Creation):
    """A conversion of a file that is there already."""

    def __init__(self, number: int, file_id: str, *, is_fresh: bool) -> None:
        """`is_fresh` asks for a new result instead of a cached one."""
        super().__init__(number, b"")
        self._file_id, self._is_fresh = file_id, is_fresh

    @property
    def content(self) -> Any:
        return NewConversion(target_format="pdf", file_id=self._file_id, fresh=self._is_fresh)


class CreationByForm(Creation):
    """A conversion whose file comes with the request."""

    sends_body = True

    def __init__(self, number: int, body: bytes, folder: Path) -> None:
        """The body is written into `folder`, as the file service does with a form."""
        super().__init__(number, body)
        self._path = folder / self.key
        self._path.write_bytes(body)

    @property
    def content(self) -> Any:
        return {"filename": "notes.txt", "body": self.body.decode("latin-1")}

    async def submit(self, submission: Submission, new_ids: NewIds) -> Created:
        upload = FormUpload(path=self._path, filename="notes.txt", size_bytes=len(self.body), content_type="text/plain")
        fields = FormFields(target_format="pdf")
        return await submission.create_from_form(OWNER, fields, upload, max_bytes=FORM_LIMIT_BYTES, new_ids=new_ids)
