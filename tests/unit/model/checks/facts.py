"""What users and programs really did, which no process knows: the reasons that an outcome may have."""

from collections import Counter, defaultdict

from converto_core.access import NewIds
from tests.unit.model.requests import OF_ANOTHER_SIZE, OF_ANOTHER_TYPE, Creation, made_of

WRONG = frozenset({OF_ANOTHER_SIZE, OF_ANOTHER_TYPE})


class Facts:
    """Kept by `Cluster` at each request and each upload."""

    def __init__(self) -> None:
        self.creations: list[Creation] = []
        self.bodies: defaultdict[str, set[bytes]] = defaultdict(set)
        """By file: everything that was ever uploaded for it."""
        self.cancels: set[str] = set()
        self.removals: set[str] = set()
        self.retries: Counter[str] = Counter()
        self.file_removals: set[str] = set()
        """Files that a user asked to delete, or that housekeeping has marked as deleted."""
        self.corrupt: set[bytes] = set()
        """Sources that a program has called corrupt."""
        self.clock_was_wrong = False
        self.hung: set[bytes] = set()
        """Sources on which a program has used up its time."""
        self.wanted: dict[str, bytes] = {}
        """By file: what its client wants to have converted."""

    def served(self, creation: Creation, new_ids: NewIds) -> None:
        """A file service begins to serve a request; the records may be stored under these ids."""
        creation.ids.add(new_ids.conversion_id)
        self.wanted[new_ids.file_id] = creation.body
        if creation.sends_body:
            self.bodies[new_ids.file_id].add(creation.body)

    def same_key(self, conversion_id: str) -> set[str]:
        """All ids under which the conversion of the same Idempotency-Key may have been stored."""
        return next((one.ids for one in self.creations if conversion_id in one.ids), {conversion_id})

    def results_of(self, file_id: str) -> set[tuple[bytes, ...]]:
        """The right results of this file."""
        return {made_of(body) for body in self.bodies[file_id]}

    def is_wrong(self, file_id: str) -> bool:
        """True when something else than announced was uploaded."""
        return bool(self.bodies[file_id] & WRONG)

    def unexplained(self, file_id: str, code: str | None) -> str | None:
        """Return the code of a failure that nothing has caused."""
        is_explained = {
            "source_corrupt": bool(self.bodies[file_id] & self.corrupt),
            "engine_timeout": bool(self.bodies[file_id] & self.hung),
            "source_gone": file_id in self.file_removals,
        }.get(code or "", self.is_wrong(file_id))
        return None if is_explained else code
