from transformers import TrainingArguments

from maskwise.lab.config import resolve
from maskwise.lab.pretraining.build import training_arguments
from maskwise.models.device import on_one_device


def test_a_machine_with_several_gpus_trains_on_one_with_the_batch_that_was_asked_for(tmp_path):
    """The Trainer would put the batch on each of them: a run would be another one on another machine."""
    args = TrainingArguments(str(tmp_path), per_device_train_batch_size=16, use_cpu=True)
    args._n_gpu = 4  # what TrainingArguments finds there
    assert args.train_batch_size == 64
    assert on_one_device(args).train_batch_size == 16
    assert args.n_gpu == 1


def test_pretraining_takes_one_of_several_gpus(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "__post_init__", lambda self: setattr(self, "_n_gpu", 4))
    monkeypatch.setattr(TrainingArguments, "_setup_devices", "cuda:0", raising=False)
    settings = resolve({"data": {"path": "d"}, "model": {"preset": "tiny"}}, {})
    assert training_arguments(settings, tmp_path).n_gpu == 1


def test_a_machine_without_a_gpu_has_none(tmp_path):
    assert on_one_device(TrainingArguments(str(tmp_path), use_cpu=True)).n_gpu == 0
