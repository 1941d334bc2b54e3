"""Content: what a score and a large file are, whatever they are called."""

import importlib.util

import torch

from maskwise.files.checksums import record_files
from maskwise.lab.records.content import NOT_KNOWN, damage_of_all, score_hash, source_file
from maskwise.masking.score import StatefulScore

SOURCE = "import torch\n\n\ndef rare(batch):\n    return torch.ones(batch['input_ids'].shape)\n"


class Constant(StatefulScore):
    """A score with a setting."""

    def __init__(self, value):
        self.value = value

    def __call__(self, batch):
        return torch.full(batch["input_ids"].shape, self.value)


def read_module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_edited_function_has_another_hash_and_its_source_is_known(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    before = score_hash(read_module(path).rare)
    assert source_file(read_module(path).rare) == path
    path.write_text(SOURCE.replace("ones", "zeros"))
    assert score_hash(read_module(path).rare) != before


def test_an_object_is_told_by_its_settings_and_its_code():
    assert score_hash(Constant(1.0)) == score_hash(Constant(1.0)) != score_hash(Constant(2.0))


def test_what_has_no_file_is_not_known():
    made = {}
    exec("def rare(batch): return batch", made)
    assert score_hash(made["rare"]) == score_hash(len) == NOT_KNOWN


def test_a_file_that_changed_is_read_again(tmp_path):
    path = tmp_path / "train.arrow"
    path.write_bytes(b"a" * 100)
    record = record_files(tmp_path)
    assert damage_of_all(tmp_path, record) == damage_of_all(tmp_path, record) == []
    path.write_bytes(b"a" * 99 + b"b")
    assert damage_of_all(tmp_path, record) == ["train.arrow is not what was written (another checksum)"]
