"""An arm's own score: a function or its name, in this process or another, and the same one to the end."""

import importlib
import sys

import pytest
import torch

from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.jobs.in_process import InProcessExecutor
from maskwise.lab.records.record import RunKey, read_record
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.results import plain_rows, read_results
from maskwise.lab.study.runner import run_study
from maskwise.lab.study.study_file import check_study

SOURCE = "import torch\n\n\ndef rare(batch):\n    return torch.ones(batch['input_ids'].shape)\n"


def with_score(tree, score):
    arms = [{"name": "random"}, {"name": "own", "score": score}]
    return merge(tree, {"arms": arms, "tasks": ["held_out"], "statistics": {"family": [["own", "random"]]}})


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module with a score in a folder of its own; calling it writes the module anew and reads it again."""
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delitem(sys.modules, "a_score_of_mine", raising=False)

    def write(source=SOURCE):
        (tmp_path / "modules").mkdir(exist_ok=True)
        (tmp_path / "modules/a_score_of_mine.py").write_text(source, encoding="utf-8")
        sys.modules.pop("a_score_of_mine", None)
        importlib.invalidate_caches()

    write()
    yield write
    sys.modules.pop("a_score_of_mine", None)


def test_a_function_is_an_arms_score_if_the_jobs_run_in_this_process(tree, tmp_path):
    """One without a name too: `random` with another score."""
    seen = []

    def own(batch):
        seen.append(batch["input_ids"].shape)
        return torch.ones(batch["input_ids"].shape)

    result = run_study(check_study(with_score(tree, own)), tmp_path / "out", executor=InProcessExecutor(), show=False)
    assert not result.failed, result.summary()
    assert seen
    rows = {row["arm"]: row for row in plain_rows(read_results(tmp_path / "out")) if row["metric"] == "loss"}
    assert rows["own"]["recipe"] == "random" and rows["own"]["value"] == pytest.approx(rows["random"]["value"], abs=0.5)


def test_a_function_that_no_other_process_can_import_is_refused_with_the_way_out(tree, tmp_path, monkeypatch):
    def own(batch):
        return batch

    with pytest.raises(InputError, match=r"no other process can import it.*InProcessExecutor"):
        run_study(check_study(with_score(tree, own)), tmp_path / "out", show=False)
    own.__module__, own.__qualname__ = "__main__", "own"
    with pytest.raises(InputError, match=r"__main__:own, is of the program that runs.*mine\.py"):
        run_study(check_study(with_score(tree, own)), tmp_path / "out", show=False)
    assert not (tmp_path / "out").exists()


def test_a_score_that_cannot_be_imported_is_refused_before_anything_runs(tree, tmp_path):
    study = check_study(with_score(tree, "json:nothing"))
    with pytest.raises(InputError, match="json:nothing"):
        run_study(study, tmp_path / "out", executor=InProcessExecutor(), show=False)
    assert not (tmp_path / "out").exists()


def test_an_edited_score_is_noticed_in_a_finished_study_and_its_source_is_kept(tree, module, tmp_path):
    study, out = check_study(with_score(tree, "a_score_of_mine:rare")), tmp_path / "out"
    assert not run_study(study, out, executor=InProcessExecutor(), show=False).failed
    run = Layout(out).folder(RunKey("own", "tiny", 0))
    assert (run / "score-source.py").read_text(encoding="utf-8") == SOURCE
    assert len(read_record(run).content["score"]) == 64
    module(SOURCE + "\n# another day\n")
    with pytest.raises(InputError, match=r"a_score_of_mine:rare of the arm 'own' has changed.*score-source\.py"):
        run_study(study, out, executor=InProcessExecutor(), show=False)
    module()
    assert not run_study(study, out, executor=InProcessExecutor(), show=False).failed


def test_a_score_without_a_file_is_asked_about(tree, tmp_path, monkeypatch, capsys):
    import a_module_of_nothing as made

    study, out = check_study(with_score(tree, "a_module_of_nothing:rare")), tmp_path / "out"
    assert not run_study(study, out, executor=InProcessExecutor(), show=False).failed
    assert read_record(Layout(out).folder(RunKey("own", "tiny", 0))).content["score"] == "not known"
    run_study(study, out, executor=InProcessExecutor())
    assert "That is not known: it is not a function with a file" in capsys.readouterr().err
    assert made


@pytest.fixture(autouse=True)
def a_module_of_nothing(monkeypatch):
    """A module that was never in a file."""
    from types import ModuleType

    made = ModuleType("a_module_of_nothing")
    exec("import torch\ndef rare(batch): return torch.ones(batch['input_ids'].shape)", vars(made))
    monkeypatch.setitem(sys.modules, "a_module_of_nothing", made)
