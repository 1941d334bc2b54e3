"""Annotate: every token's score once, whatever the number of processes, kills and mistakes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwise.errors import InputError
from maskwise.lab.jobs.claims import locked
from maskwise.lab.pretraining import annotate as job
from maskwise.lab.pretraining.annotate import annotate
from maskwise.lab.pretraining.stored_scores import scores_folder
from maskwise.lab.tokens.blocks import open_data
from maskwise.scores.score_file import row_offsets
from maskwise.scores.stored import Stored


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A data folder of one's own, to write scores into."""
    return Path(shutil.copytree(tiny_data, tmp_path / "blocks"))


@pytest.fixture(scope="module")
def unbroken(tiny_data: Path, teacher: Path, tmp_path_factory) -> bytes:
    """The bytes that other runs must end with."""
    folder = shutil.copytree(tiny_data, tmp_path_factory.mktemp("unbroken") / "blocks")
    return values(annotate(folder, str(teacher), show=False))


def values(folder: Path) -> bytes:
    return (folder / "values.f32").read_bytes()


@pytest.mark.parametrize("statistic", ["entropy", "surprisal"])
def test_every_token_has_the_teachers_score_and_special_tokens_have_none(document_data, teacher, tmp_path, statistic):
    """Against dense logits in float64, row by row without padding: order, offsets and padding are all in this."""
    from transformers import AutoModelForMaskedLM

    folder = shutil.copytree(document_data, tmp_path / "blocks")
    found_X = np.frombuffer(values(annotate(folder, str(teacher), statistic=statistic, show=False)), np.float32)
    data = open_data(folder)
    model, offsets = AutoModelForMaskedLM.from_pretrained(teacher).eval().double(), row_offsets(data.train)
    assert len(set(np.diff(offsets))) > 5
    assert len(found_X) == offsets[-1]
    assert len(data.train) > job.CHUNK_ROWS
    for row in [*range(0, len(data.train), 40), len(data.train) - 1]:
        ids_1T = torch.tensor([data.train[row]["input_ids"]])
        with torch.no_grad():
            log_p_TV = model(ids_1T).logits[0].log_softmax(-1)
        entropy_T = -(log_p_TV.exp() * log_p_TV).sum(-1)
        surprisal_T = -log_p_TV.gather(-1, ids_1T.T)[:, 0]
        expected_T = (entropy_T if statistic == "entropy" else surprisal_T).numpy()
        expected_T[[0, -1]] = 0
        assert expected_T.max() > 0.1
        np.testing.assert_allclose(found_X[offsets[row] : offsets[row + 1]], expected_T, atol=1e-4, rtol=1e-5)


def test_an_annotate_killed_midway_goes_on_to_the_same_bytes(unbroken, data, teacher, environment, monkeypatch):
    """A chunk marked before its values were written would stay empty for ever."""
    command = [sys.executable, "-m", "maskwise", "annotate", "--data", str(data), "--teacher", str(teacher)]
    folder = scores_folder(open_data(data), str(teacher), "entropy")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not ((folder / job._DONE).exists() and any((folder / job._DONE).read_bytes())):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = (folder / job._DONE).read_bytes()
    assert 0 < sum(done) < len(done)
    with pytest.raises(InputError, match="not finished"):
        Stored(folder)
    scored = []
    finish = job.Scorer.finish
    monkeypatch.setattr(job.Scorer, "finish", lambda self, chunk: scored.append(chunk) or finish(self, chunk))
    assert annotate(data, str(teacher), show=False) == folder
    assert len(scored) == len(done) - sum(done)
    assert_close(values(folder), unbroken)


def assert_close(found: bytes, expected: bytes) -> None:
    np.testing.assert_allclose(np.frombuffer(found, np.float32), np.frombuffer(expected, np.float32), atol=1e-5)


def test_stopped_and_taken_up_in_one_process_the_bytes_are_the_same(unbroken, data, teacher, monkeypatch):
    finish = job.Scorer.finish

    def stop_at_two(self, chunk):
        if chunk == 2:
            raise KeyboardInterrupt
        return finish(self, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(job.Scorer, "finish", stop_at_two)
        with pytest.raises(KeyboardInterrupt):
            annotate(data, str(teacher), show=False)
    assert values(annotate(data, str(teacher), show=False)) == unbroken


def test_two_processes_store_what_one_stores(unbroken, data, teacher, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert_close(values(annotate(data, str(teacher), jobs=2, show=False)), unbroken)


def test_finished_scores_are_left_as_they_are(unbroken, data, teacher, monkeypatch):
    folder = annotate(data, str(teacher), show=False)
    monkeypatch.setattr(job, "Scorer", None)
    assert annotate(data, str(teacher), show=False) == folder
    assert values(folder) == unbroken


def test_a_partial_annotate_of_other_rows_is_begun_anew(unbroken, data, teacher):
    """Marks of another plan say nothing about this one's chunks."""
    folder = scores_folder(open_data(data), str(teacher), "entropy")
    folder.mkdir(parents=True)
    (folder / job._PLAN).write_text('{"data_sha256": "other"}')
    (folder / job._DONE).write_bytes(b"\x01" * 1000)
    assert values(annotate(data, str(teacher), show=False)) == unbroken


def test_a_second_annotate_at_the_same_time_says_so_and_stops(data, teacher):
    """Two writers with plans of their own would undo each other's marks."""
    folder = scores_folder(open_data(data), str(teacher), "entropy")
    folder.mkdir(parents=True)
    with locked(folder / job._LOCK, "busy"), pytest.raises(InputError, match="Another annotate is writing"):
        annotate(data, str(teacher), show=False)
    assert not (folder / "values.f32").exists()


def test_a_teacher_that_gives_nan_is_named_with_the_block_and_nothing_is_lost(data, teacher, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = Path(shutil.copytree(teacher, tmp_path / "broken"))
    weights = load_file(broken / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][rare_token(data)] = torch.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"not finite in block \d+ of"):
        annotate(data, str(broken), show=False)
    folder = scores_folder(open_data(data), str(broken), "entropy")
    assert not (folder / "manifest.json").exists()


def rare_token(data: Path) -> int:
    counts = open_data(data).token_counts
    return int(np.where(counts > 0, counts, counts.max()).argmin())


def test_a_teacher_without_a_head_is_refused(data, teacher, tmp_path):
    from transformers import BertModel

    headless = Path(shutil.copytree(teacher, tmp_path / "headless"))
    BertModel.from_pretrained(teacher).save_pretrained(headless)
    with pytest.raises(InputError, match="no masked-LM head"):
        annotate(data, str(headless), show=False)
    assert not (data / "scores").exists()


def test_a_teacher_of_another_vocabulary_is_refused(data, teacher, tmp_path):
    other = Path(shutil.copytree(teacher, tmp_path / "other"))
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"the"', '"teh"'))
    with pytest.raises(InputError, match="different vocabularies"):
        annotate(data, str(other), show=False)
    assert not (data / "scores").exists()


def test_mistakes_on_the_command_line_are_answered_in_words(refused, data, teacher):
    command = ["annotate", "--data", str(data), "--teacher", str(teacher)]
    assert "Did you mean 'entropy'?" in refused([*command, "--score", "entrpy"])
    assert "at least one job" in refused([*command, "--jobs", "0"])
    assert "does not exist" in refused(["annotate", "--data", str(data / "none"), "--teacher", str(teacher)])
    assert "There is no checkpoint" in refused(["annotate", "--data", str(data), "--teacher", str(data / "none")])
    assert not (data / "scores").exists()


def test_a_full_disk_keeps_the_chunks_that_are_done(unbroken, data, teacher, monkeypatch):
    import errno

    write = job.ScoreFile.write

    def full_after_one(self, first_row, values_X):
        if first_row:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, first_row, values_X)

    def with_message(self, first_row, values_X):
        with job.disk_full_as_input_error(self.path):
            full_after_one(self, first_row, values_X)

    with monkeypatch.context() as patch:
        patch.setattr(job.ScoreFile, "write", with_message)
        with pytest.raises(InputError, match="disk is full"):
            annotate(data, str(teacher), show=False)
    folder = scores_folder(open_data(data), str(teacher), "entropy")
    assert sum((folder / job._DONE).read_bytes()) == 1
    assert values(annotate(data, str(teacher), show=False)) == unbroken
