"""The direction of imports: a layer may import what is below it, and nothing else."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import maskwise
import maskwise.lab

SRC = Path(maskwise.__file__).parent
LAYERS = (
    {"errors", "progress", "lazy"},
    {"files"},
    {"recipes"},
    {"masking"},
    {"models"},
    {"scores"},
    {"evaluation"},
    {"training"},
    {"testing"},
    {
        "lab.masking_settings",
        "lab.config",
        "lab.drawing",
        "lab.faults",
        "lab.precedence",
        "lab.printed",
        "lab.seeds",
    },
    {"lab.jobs", "lab.records"},
    {"lab.text"},
    {"lab.tokens"},
    {"lab.tasks"},
    {"lab.pretraining"},
    {"lab.tuning"},
    {"lab.weight_changes", "lab.previews", "lab.evaluation"},
    {"lab.stats"},
    {"lab.study"},
    {"lab.reports"},
    {"lab.demonstration", "lab.package_task"},
    {"lab.commands"},
    {"lab.cli"},
    {"__main__"},
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
FRONTS = {"maskwise", "maskwise.lab"}  # tables of names
HEAVY = ("torch", "transformers", "datasets", "tokenizers", "numpy")


def module_name(path):
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SRC.rglob("*.py"))}


def is_for_types_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports(tree, *, deferred=True):
    """The maskwise modules that a tree imports; with deferred=False only those at import time."""
    found, todo = set(), [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute in this package"
            whole = f"{node.module}."
            found |= {whole + alias.name if whole + alias.name in SOURCES else node.module for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        is_deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_for_types_only(node)
        if deferred or not is_deferred:
            todo += ast.iter_child_nodes(node)
    return {name for name in found if name in SOURCES}


def layer_of(module):
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[0] == "lab" else 1])


MODULES = sorted(SOURCES.keys() - FRONTS)


def test_every_part_of_the_package_has_a_layer():
    parts = {layer_of(name) for name in MODULES}
    assert len(parts) > 5
    assert parts <= set(LEVEL), f"{parts - set(LEVEL)} are in no layer: add them to LAYERS"


def test_imports_go_down_only():
    """Deferred imports and those for types count too: they tie the same knots, only later."""
    upward = []
    for module in MODULES:
        for imported in imports(SOURCES[module]):
            if imported in FRONTS:
                upward.append(f"{module} imports a package's front, {imported}: name the module instead")
            elif LEVEL[layer_of(imported)] > LEVEL[layer_of(module)]:
                upward.append(f"{module} imports {imported}, which is above it")
    assert not upward, "\n".join(upward)


def test_the_library_imports_nothing_of_the_laboratory():
    library = [name for name in MODULES if not layer_of(name).startswith(("lab.", "__main__"))]
    assert len(library) > 30
    assert not [name for name in library if any(".lab." in other for other in imports(SOURCES[name]))]


def circle_in(graph):
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(error.args[1])


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: imports(SOURCES[name]) - {name} for name in MODULES}
    assert sum(map(len, graph.values())) > 20
    assert not circle_in(graph)


def test_a_circle_would_be_found():
    assert circle_in({"a": {"b"}, "b": {"a"}, "c": {"a"}}) in ("a -> b -> a", "b -> a -> b")


def test_importing_a_module_does_no_work():
    """A call at import time is paid for by everybody, and by every worker process."""
    work = []
    for module in MODULES:
        for node in SOURCES[module].body:
            is_script = isinstance(node, ast.If) and "__main__" in ast.dump(node.test)
            is_statement = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            is_block = isinstance(node, ast.For | ast.While | ast.With)
            if not is_script and (is_statement or is_block):
                work.append(f"{module}, line {node.lineno}")
    assert not work, f"work at import: {', '.join(work)}"


def test_no_module_has_the_name_of_a_public_function():
    """`from maskwise.lab import drift` must give the function, whatever was imported before."""
    for front in (maskwise, maskwise.lab):
        package = Path(front.__file__).parent
        modules = {path.stem for path in package.glob("*.py")} | {
            path.parent.name for path in package.glob("*/__init__.py")
        }
        assert modules
        assert not modules & set(front.__all__)


@pytest.mark.parametrize(
    "module",
    ["maskwise", "maskwise.lab", "maskwise.errors", "maskwise.progress", "maskwise.lab.config", "maskwise.lab.cli"],
)
def test_light_modules_import_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_masking_core_needs_torch_alone():
    core = ", ".join(name for name in MODULES if layer_of(name) == "masking")
    code = f"import sys, {core}; print(sorted({{'transformers', 'datasets', 'tokenizers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert core.count(",") > 3
    assert done.stdout.strip() == "[]"
