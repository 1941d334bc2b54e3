"""The house: sizes, public names, a quick command line, and a wheel that has everything in it."""

import ast
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import maskwise
import maskwise.lab
from maskwise.recipes import load_recipe, recipe_names

SRC = Path(maskwise.__file__).parent
REPOSITORY = SRC.parent.parent
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
HELP_SECONDS = 1.0
MASKWISE = Path(sys.executable).parent / "maskwise"
SOURCES = sorted(SRC.rglob("*.py"))


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


def docstring_lines(node):
    """A function with many documented arguments is not a long one."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno - first.lineno + 1 if is_docstring else 0


def test_files_and_functions_stay_small():
    too_long = []
    for path in SOURCES:
        text, name = path.read_text(encoding="utf-8"), path.relative_to(SRC)
        if text.count("\n") > MAX_FILE_LINES:
            too_long.append(f"{name} has {text.count(chr(10))} lines: does it hold more than one idea?")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1 - docstring_lines(node)
                if length > MAX_FUNCTION_LINES:
                    too_long.append(f"{name}: {node.name} has {length} lines: cut it into steps")
    assert not too_long, "\n".join(too_long)


def test_there_are_sources_to_measure():
    assert len(SOURCES) > 20


def top_level_names(nodes):
    """The names that a module defines; imported ones are defined elsewhere."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.If | ast.Try):
            yield from top_level_names(node.body)


def test_a_public_name_is_defined_in_one_file():
    """One word, one meaning: what only one file uses begins with an underscore, what several share stands in one."""
    files = defaultdict(set)
    for path in SOURCES:
        for name in top_level_names(ast.parse(path.read_text(encoding="utf-8")).body):
            if not name.startswith("_"):
                files[name].add(str(path.relative_to(SRC)))
    assert len(files) > 500
    assert not [f"{name}: {', '.join(sorted(where))}" for name, where in sorted(files.items()) if len(where) > 1]


@pytest.mark.parametrize("front", [maskwise, maskwise.lab], ids=lambda front: front.__name__)
def test_every_public_name_is_there_with_a_docstring(front):
    assert front.__all__
    assert not [name for name in front.__all__ if not getattr(front, name).__doc__]


@pytest.mark.parametrize("front", [maskwise, maskwise.lab], ids=lambda front: front.__name__)
def test_public_names_agree_with_what_type_checkers_see(front):
    """The table, __all__ and the imports for type checkers say the same thing three times."""
    tree = ast.parse(Path(front.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    for_types = {alias.name: node.module for node in block.body for alias in node.names}
    assert for_types == front._MODULES
    assert sorted(for_types) == front.__all__
    assert set(front.__all__) <= set(dir(front))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'entrpy'"):
        maskwise.entrpy
    with pytest.raises(AttributeError, match=r"it is maskwise\.lab\.pretrain"):
        maskwise.pretrain


def test_help_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from maskwise.__main__ import main; sys.argv = ['maskwise', '--help']\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = run(sys.executable, "-c", code)
    assert "pretrain" in done.stdout
    assert done.stderr.strip() == "[]"


def test_help_answers_in_under_a_second():
    seconds = []
    for _ in range(3):
        started_at = time.perf_counter()
        assert run(MASKWISE, "--help").returncode == 0
        seconds.append(time.perf_counter() - started_at)
    assert min(seconds) < HELP_SECONDS


@pytest.mark.parametrize(
    "arguments", [["recipes", "entrpy-high"], ["pretrain", "--out", "x", "--config", "none.toml"]], ids=" ".join
)
def test_a_users_mistake_is_a_short_message_and_exit_code_2(arguments, tmp_path):
    done = run(MASKWISE, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert 1 <= len(done.stderr.strip().splitlines()) <= 3
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_readme_names_every_recipe():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    missing = [name for name in recipe_names() if f"`{name}`" not in readme]
    assert not missing


def test_the_pinned_packages_satisfy_the_project():
    """A pin that the project itself refuses would let `make setup` fail on a clean machine only."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    others = [text for text in extras if not text.startswith("maskwise[")]
    for requirement in map(Requirement, [*project["dependencies"], *others]):
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement


def test_every_make_target_explains_itself():
    shown = run("make", "help", cwd=REPOSITORY).stdout
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {"help", "setup", "demo", "test", "check", "docs", "bench"} <= set(targets)
    assert all(re.search(rf"^make {target} +\S", shown, flags=re.MULTILINE) for target in targets)


@pytest.mark.slow
def test_a_built_wheel_has_every_packaged_file_and_imports(tmp_path):
    """An editable install finds files that the wheel forgot."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, REPOSITORY)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("maskwise-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packaged = {str(p.relative_to(SRC.parent)) for p in SRC.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    recipes = {f"maskwise/recipes/{name}.toml" for name in recipe_names()}
    assert recipes | {"maskwise/py.typed", "maskwise/lab/previews/preview.html"} <= packaged
    assert packaged <= set(names), f"left out: {sorted(packaged - set(names))}"
    assert not [name for name in names if name.startswith("tests")]
    code = "import maskwise; print(maskwise.__file__); print(maskwise.load_recipe('random'))"
    used = run(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {code}")
    assert used.stdout.splitlines() == [f"{wheel}/maskwise/__init__.py", str(load_recipe("random"))], used.stderr
