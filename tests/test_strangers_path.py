"""The way of somebody who has just found the package: install it, copy the readme's script, run it."""

import email
import os
import pydoc_data.topics
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import maskwise
from examples_in_text import blocks
from maskwise.lab.tokens.tokenizer import train_tokenizer
from maskwise.models.presets import build_model

SRC = Path(maskwise.__file__).parent
REPOSITORY = SRC.parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
NEWER = [version for version in PYTHONS if tuple(map(int, version.split("."))) > sys.version_info[:2]]


def needed(names):
    """What an installation brings, by name: the distributions named and all that they need."""
    found, todo = {}, list(names)
    while todo:
        requirement = Requirement(todo.pop())
        extras = requirement.extras or {""}
        key = (requirement.name.lower(), frozenset(extras))
        if key in found or requirement.name == "maskwise":
            continue
        found[key] = distribution = metadata.distribution(requirement.name)
        for text in distribution.requires or ():
            marker = Requirement(text).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(text.partition(";")[0])
    return {name: distribution for (name, _), distribution in found.items()}


def newer_python(version):
    """The path of a newer interpreter of this machine, or None; a shim of pyenv may lead nowhere."""
    installed = Path("~/.pyenv/versions").expanduser().glob(f"{version}*/bin/python")
    for candidate in (shutil.which(f"python{version}"), *installed):
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


def test_all_that_is_installed_runs_under_every_declared_python():
    """From the first release of each on: a system's Python 3.11 may be 3.11.2."""
    extras = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]
    pins = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").lower().splitlines()
    distributions = {
        name: distribution
        for name, distribution in needed([*PROJECT["dependencies"], *extras]).items()
        if f"{name}=={distribution.version}" in pins or name == "torch"
    }
    assert len(distributions) > 40
    declared = [version for version in PYTHONS if SpecifierSet(PROJECT["requires-python"]).contains(version)]
    assert len(declared) == len(PYTHONS)
    refused = [
        f"{name} {distribution.version} does not allow Python {version}"
        for name, distribution in distributions.items()
        for version in declared
        if not SpecifierSet(distribution.metadata.get("Requires-Python") or "").contains(version)
    ]
    assert not refused


def test_the_metadata_of_a_wheel_say_what_the_project_says():
    """Built by the backend itself, without an isolated environment and a network."""
    from hatchling.metadata.core import ProjectMetadata
    from hatchling.metadata.spec import construct_metadata_file_2_4
    from hatchling.plugin.manager import PluginManager

    text = construct_metadata_file_2_4(ProjectMetadata(str(REPOSITORY), PluginManager()))
    built = email.message_from_string(text)
    assert built["Name"] == "maskwise" and built["Version"] == maskwise.__version__
    assert SpecifierSet(built["Requires-Python"]) == SpecifierSet(PROJECT["requires-python"])
    plain = {str(Requirement(text)) for text in built.get_all("Requires-Dist") if "extra ==" not in text}
    assert plain == {str(Requirement(text)) for text in PROJECT["dependencies"]}
    assert set(built.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("version", NEWER)
def test_a_newer_python_reads_every_file(version, tmp_path):
    """Compiled with warnings as errors; what imports nothing heavy is imported too."""
    python = newer_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    sources = shutil.copytree(SRC, tmp_path / "maskwise", ignore=shutil.ignore_patterns("__pycache__"))
    compiled = subprocess.run(
        [python, "-W", "error", "-m", "compileall", "-q", str(sources)], capture_output=True, text=True, check=False
    )
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    code = "import maskwise, maskwise.lab; print(maskwise.load_recipe('span')['masking']['unit'])"
    used = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert used.stdout == "span\n", used.stderr


def test_the_script_of_the_readme_runs_with_another_models_name(tmp_path, environment):
    """The one change: a folder's name in place of that of a model of the hub."""
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())]
    (tmp_path / "my-text.txt").write_text("\n".join(topics)[:4000], encoding="utf-8")
    tokenizer = train_tokenizer(lambda: iter(topics[:40]), 400)
    tokenizer.save_pretrained(tmp_path / "model")
    build_model("tiny", len(tokenizer), 0, tokenizer.pad_token_id).save_pretrained(tmp_path / "model")
    (script,) = [block for block in blocks(readme()) if "was: Trainer" in block]
    assert script.count('"bert-base-uncased"') == 1
    (tmp_path / "script.py").write_text(script.replace("bert-base-uncased", "model"), encoding="utf-8")
    quick = environment | {"TORCH_COMPILE_DISABLE": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=os.environ | quick, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "train_loss" in done.stdout
    assert (tmp_path / "out").is_dir()


def readme():
    return (REPOSITORY / "README.md").read_text(encoding="utf-8")
