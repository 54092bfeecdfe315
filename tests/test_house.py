# SPDX-License-Identifier: GPL-2.0-or-later
"""The dependencies of the modules: in one direction, and what a plain VM start may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from . import DATA, ROOT

PACKAGE = ROOT / "largeguest"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

NOT_FOR_A_START = ("planner", "running", "engine", "view", "cli")
MAX_CLASS_LINES, MAX_FUNCTION_LINES = 150, 50


def imported(module: str) -> set[str]:
    """The modules of the package that this one imports: at its top, in functions, and for types."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:
                found.add(f"{base}.{name.name}" if f"{base}.{name.name}" in MODULES else base)
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    return found & MODULES.keys() - {module}


def test_no_import_cycles() -> None:
    graph = {module: imported(module) for module in MODULES}
    assert graph["largeguest.rewrite"] > {"largeguest.properties", "largeguest.domxml.read"}  # it finds imports
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def long(limit: int, *kinds: type[ast.AST]) -> Iterator[str]:
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds):
                assert isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > limit:
                    yield f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"


def test_classes_and_functions_fit_on_a_screen() -> None:
    assert list(long(MAX_CLASS_LINES, ast.ClassDef)) == []
    assert list(long(MAX_FUNCTION_LINES, ast.FunctionDef, ast.AsyncFunctionDef)) == []
    assert len(list(long(1, ast.FunctionDef))) > 100


TYPED = {"cputune": "0-1#=node0,emulator#^0", "numatune": "^3", "guestnuma": "0-1#*@0,2-3#*@1"}
AUTO = {"cputune": "auto", "guestnuma": "auto"}


@pytest.mark.parametrize(
    ("point", "typed", "forbidden"),
    [
        ("before_vm_start", TYPED, {*NOT_FOR_A_START}),
        ("before_vm_migrate_destination", TYPED, {*NOT_FOR_A_START}),
        ("before_vm_dehibernate", TYPED, {*NOT_FOR_A_START}),
        ("before_vm_start", AUTO, {*NOT_FOR_A_START} - {"planner"}),
    ],
)
def test_what_a_start_may_import(
    point: str, typed: dict[str, str], forbidden: set[str], four_nodes: str, tmp_path: Path
) -> None:
    domxml = tmp_path / "domxml"
    domxml.write_bytes((DATA / "plain.xml").read_bytes())
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from largeguest import hooks
hooks.SYS, hooks.ROOT = {four_nodes!r}, {str(tmp_path)!r}
assert hooks.{point}() == 0
print(*(name for name in sys.modules if name.startswith("largeguest")))
"""
    environ = {"_hook_domxml": str(domxml), **typed}
    result = subprocess.run([sys.executable, "-I", "-c", code], env=environ, capture_output=True, text=True, check=True)
    modules = {name.split(".")[1] for name in result.stdout.split() if "." in name}
    assert {"rewrite", "placement", "domxml"} < modules
    assert modules & forbidden == set()
