"""The import-linter contract type `allow_list`: a package may import the modules named for it, and nothing else.

A deny-list has a gap for every package that is added later; an allow-list has none. Sandboxed code is left to a rule of
its own, because it may use packages that only its converter installs.
"""

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowList(Contract):
    """Direct imports of `source` (with everything below it, except `except_below`) lead to `allowed` modules only.

    The standard library is allowed as a whole, except what `denied` names.
    """

    type_name = "allow_list"

    source = fields.StringField()
    allowed = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    denied = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    except_below = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Every import that no entry allows, as `importer -> imported`."""
        source: str = self.source  # type: ignore[assignment]
        importers = {source, *graph.find_descendants(source)}
        imports = [
            (importer, imported)
            for importer in sorted(importers)
            if not any(_is_below(importer, part) for part in self.except_below)
            for imported in sorted(graph.find_modules_directly_imported_by(importer) - importers)
            if not self._is_allowed(imported)
        ]
        return ContractCheck(kept=not imports, metadata={"imports": imports})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import."""
        imports: list[tuple[str, str]] = check.metadata["imports"]
        for importer, imported in imports:
            output.print_error(f"{importer} -> {imported} is not on the allow-list")

    def _is_allowed(self, imported: str) -> bool:
        denied: Any = self.denied
        if imported.partition(".")[0] in sys.stdlib_module_names:
            return not any(_is_below(imported, module) for module in denied)
        return any(_is_below(imported, module) for module in self.allowed)


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
