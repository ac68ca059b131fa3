"""A deliberate fault: one text in one file, what replaces it, and what it would do to users."""

from pathlib import Path

import msgspec


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `tests` are the test files or folders that should catch it; they run before all others."""

    name: str
    file: str
    old: str
    new: str
    harm: str
    tests: tuple[str, ...]
    may_hang: bool = False

    def fault_of(self, root: Path) -> str | None:
        """Return why this mutant does not apply to the tree below `root`, None when it does."""
        path = root / self.file
        if not path.is_file():
            return f"there is no file {self.file}"
        text = path.read_text("utf-8")
        if (count := text.count(self.old)) != 1:
            return f"the text to replace occurs {count} times in {self.file}"
        if missing := [test for test in self.tests if not (root / test).exists()]:
            return f"there is no test {missing[0]}"
        try:
            compile(self._replaced(text), self.file, "exec")
        except SyntaxError as error:
            return f"the result is not Python: {error}"
        return None

    def apply_to(self, root: Path) -> str:
        """Write the fault into the tree below `root` and return the text that the file had."""
        path = root / self.file
        text = path.read_text("utf-8")
        path.write_text(self._replaced(text), "utf-8")
        return text

    def _replaced(self, text: str) -> str:
        return text.replace(self.old, self.new)
