import csv
import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from maskwise.lab.weight_changes.measure import Change, measure, measure_drift
from maskwise.lab.weight_changes.picture import draw_drift
from maskwise.lab.weight_changes.report import ELEMENTWISE, NORM_RATIO, drift
from maskwise.lab.weight_changes.weights import open_weights
from maskwise.models.hf_logging import only_errors

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "pad_token_id": 0, "max_position_embeddings": 40,
}  # fmt: skip
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
FAMILIES = {
    "BertConfig": SIZES,
    "RobertaConfig": SIZES,
    "DistilBertConfig": {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "ElectraConfig": SIZES | {"embedding_size": 16},
    "ModernBertConfig": SIZES | {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
    "DebertaConfig": SIZES | RELATIVE,
    "DebertaV2Config": SIZES | RELATIVE,
    "AlbertConfig": SIZES | {"embedding_size": 16},
}
LAYER_PARTS = ["attention q", "attention k", "attention v", "attention o", "feed-forward in", "feed-forward out"]


def save_tuned(checkpoint, out, change):
    """Saves the checkpoint under a classification head, its encoder's weights changed by `change(name, weight)`."""
    from transformers import AutoModelForSequenceClassification

    with only_errors(), torch.no_grad():
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
        for name, weight in model.named_parameters():
            weight.copy_(change(name, weight))
        model.save_pretrained(out)
    return str(out)


@pytest.fixture(scope="module")
def moved(checkpoint, tmp_path_factory):
    """The checkpoint tuned: the last layer's feed-forward moved by 50%, everything else by 1%."""
    return save_tuned(
        checkpoint,
        tmp_path_factory.mktemp("tuned"),
        lambda name, w: w * (1.5 if "layer.1.output.dense" in name else 1.01),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_measured_part_by_part(family, tmp_path):
    import transformers

    with only_errors():
        config = getattr(transformers, family)(**FAMILIES[family])
        before = transformers.AutoModelForMaskedLM.from_config(config)
        before.save_pretrained(tmp_path / "before")
        tuned = save_tuned(tmp_path / "before", tmp_path / "tuned", lambda name, weight: weight * 1.25)
        transformers.AutoModel.from_pretrained(tuned).save_pretrained(tmp_path / "bare")
    for after in (tuned, str(tmp_path / "bare")):
        moved = drift(str(tmp_path / "before"), [after]).drifts[0]
        for layer in ["0"] if family == "AlbertConfig" else ["0", "1"]:
            changes = {part: moved.change(layer, part) for part in LAYER_PARTS}
            assert all(change and abs(change.norm_percent - 25) < 1e-4 for change in changes.values()), changes
        assert moved.change("embeddings", "embeddings").norm_percent == pytest.approx(25)
        encoder = sum(w.numel() for name, w in before.base_model.named_parameters() if not name.startswith("pooler"))
        assert encoder == sum(change.count for (_, part), change in moved.cells.items() if part != "head")


def test_both_measures_are_those_of_numpy(checkpoint, moved):
    before, after = open_weights(str(checkpoint)), open_weights(moved)
    name = "encoder.layer.1.output.dense.weight"
    w, v = before.tensors[name].read().double().numpy(), after.tensors[name].read().double().numpy()
    change = measure(torch.from_numpy(w), torch.from_numpy(v))
    assert change.norm_percent == pytest.approx(100 * np.linalg.norm(v - w) / np.linalg.norm(w), rel=1e-12)
    assert change.elementwise_percent == pytest.approx(100 * np.mean(np.abs(v - w) / (np.abs(w) + 1e-8)), rel=1e-12)
    assert change.norm_percent > 40


def test_changes_add_up_to_the_change_of_the_whole():
    torch.manual_seed(0)
    old, new = torch.randn(6, 4), torch.randn(6, 4)
    parts, whole = [measure(o, n) for o, n in zip(old, new, strict=True)], measure(old, new)
    added = sum(parts, Change())
    assert added.norm_percent == pytest.approx(whole.norm_percent)
    assert added.elementwise_percent == pytest.approx(whole.elementwise_percent)


def test_weights_that_were_all_zero_have_no_norm_ratio():
    change = measure(torch.zeros(3), torch.ones(3))
    assert change.norm_percent is None
    assert change.elementwise_percent == pytest.approx(1e10)


def test_near_zero_weights_make_the_elementwise_mean_large_and_leave_the_norm_ratio_small():
    """The difference between the two measures, and why only one of them explains figures of thousands of percent."""
    weight = torch.tensor([1.0, 1.0, 1.0, 1e-6])
    change = measure(weight, weight + 1e-3)
    assert change.norm_percent < 0.2
    assert change.elementwise_percent > 7077


def test_heads_are_named_and_skipped(checkpoint, moved):
    skipped = measure_drift(open_weights(str(checkpoint)), open_weights(moved)).skipped
    assert "cls.predictions.transform.dense.weight" in skipped[f"only in {checkpoint}"]
    assert {"classifier.weight", "pooler.dense.weight"} <= set(skipped[f"only in {moved}"])


def test_parameters_of_another_shape_are_skipped(checkpoint, tmp_path):
    from transformers import AutoModelForMaskedLM

    with only_errors():
        model = AutoModelForMaskedLM.from_pretrained(checkpoint)
        model.resize_token_embeddings(model.config.vocab_size + 8)
        model.save_pretrained(tmp_path)
    skipped = measure_drift(open_weights(str(checkpoint)), open_weights(str(tmp_path))).skipped
    assert "embeddings.word_embeddings.weight" in skipped["of another shape"]


def test_pickled_weights_give_the_same_figures(checkpoint, moved, tmp_path):
    from safetensors.torch import load_file

    state = load_file(f"{moved}/model.safetensors")
    torch.save(state, tmp_path / "pytorch_model.bin")
    shutil.copy(f"{moved}/config.json", tmp_path)
    cells = [drift(str(checkpoint), [name]).drifts[0].cells for name in (moved, str(tmp_path))]
    assert cells[0] == cells[1]


def test_what_moved_most_is_said_with_both_measures(checkpoint, moved):
    table = drift(str(checkpoint), [moved]).table()
    assert f"Moved most by {NORM_RATIO}: feed-forward out of layer 1 (50%)." in table
    assert f"Moved most by {ELEMENTWISE}: feed-forward out of layer 1 (49.2%)."  # its bias was and is 0 in table
    assert "of that size: neither" in table


def test_the_verb_writes_table_csv_and_picture(run_maskwise, checkpoint, moved, tmp_path):
    files = [tmp_path / "drift.csv", tmp_path / "drift.svg"]
    done = run_maskwise(["drift", str(checkpoint), moved, moved, "--csv", str(files[0]), "--picture", str(files[1])])
    assert done.stdout.count(": feed-forward out of layer 1 (") == 4
    rows = list(csv.DictReader(files[0].read_text(encoding="utf-8").splitlines()))
    whole = [row for row in rows if row["layer"] == row["part"] == "all"]
    assert len(whole) == 2 and float(whole[0]["norm_percent"]) > 1
    assert files[1].read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_json_has_the_rows_and_what_was_skipped(checkpoint, moved):
    report = json.loads(drift(str(checkpoint), [moved]).as_json())
    assert {"tuned": moved, "layer": "1", "part": "feed-forward out"}.items() <= max(
        report["rows"], key=lambda row: row["norm_percent"]
    ).items()
    assert "classifier.weight" in report["skipped"][moved][f"only in {moved}"]


def test_the_same_report_is_the_same_picture(checkpoint, moved, tmp_path):
    report = drift(str(checkpoint), [moved])
    for name in ("a.svg", "b.svg", "c.png"):
        draw_drift(report, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").read_bytes()[1:4] == b"PNG"


def test_a_picture_writes_names_and_percentages_as_plain_text(checkpoint, moved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "$a$").symlink_to(moved)
    draw_drift(drift(str(checkpoint), ["$a$"]), tmp_path / "a.svg")
    shown = [text.text for text in ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert shown.count("$a$") == 2
    assert not [text for text in shown if "mathdefault" in text or "^" in text]
    assert {"layer", "feed-forward out", "0"} <= set(shown)


def test_a_checkpoint_that_did_not_move_has_a_picture_of_zeros(checkpoint, tmp_path):
    report = drift(str(checkpoint), [str(checkpoint)])
    draw_drift(report, tmp_path / "a.png")
    assert all(change.norm_percent == 0 for change in report.drifts[0].cells.values())


def test_what_cannot_be_compared_is_refused(refused, checkpoint, moved, tmp_path):
    assert "no model.safetensors" in refused(["drift", str(checkpoint), str(tmp_path)])
    assert "There is no checkpoint" in refused(["drift", str(checkpoint), str(tmp_path / "none")])
    assert ".svg or .png" in refused(["drift", str(checkpoint), moved, "--picture", str(tmp_path / "drift.gif")])
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    assert "does not load" in refused(["drift", str(checkpoint), str(tmp_path)])
    assert not list(tmp_path.glob("drift*"))
