"""A contract of import-linter: no module imports itself through others."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from grimp import ImportGraph
from importlinter import Contract, ContractCheck
from importlinter.application import output


class NoCycles(Contract):
    """Also inside packages, and by imports that only type checkers read: `layers` sees neither."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            return ContractCheck(kept=False, metadata={"cycle": error.args[1]})
        return ContractCheck(kept=True)

    def render_broken_contract(self, check: ContractCheck) -> None:
        output.print_error("A cycle, from what is imported:")
        output.print_error(" -> ".join(check.metadata["cycle"]))
