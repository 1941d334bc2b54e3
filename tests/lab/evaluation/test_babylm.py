"""A BabyLM entry: the folder tree as the pipeline's collating script reads it, its sizes, and what is missing."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from maskwise.errors import InputError
from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood
from maskwise.lab.evaluation import babylm_tree as tree
from maskwise.lab.evaluation.babylm import evaluate_babylm, find_sets, require_right_sizes, revisions_of
from maskwise.lab.evaluation.babylm_sets import FINETUNE_SIZES, babylm_sets, revision_names
from maskwise.lab.evaluation.item_files import read_item_sets
from maskwise.lab.evaluation.reading_data import EYE_TRACKING, SELF_PACED
from maskwise.models.loading import load_checkpoint

WORDS = ["old", "big", "quick", "green", "small", "long", "good", "one"]
SET = {one.name: one for one in babylm_sets()}


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def made_up_pairs(number, seed=0):
    rng = np.random.default_rng(seed)
    for i in range(number):
        first, second = rng.choice(WORDS, 2)
        good = f"the {first} {second} cat was in a house"
        bad = "the 猫 was old" if i % 10 == 0 else f"the {second} {first} cats was in a house"
        yield {"sentence_good": good if i % 10 else "the 犬 was old", "sentence_bad": bad}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two fast sets, a set of word forms and the reading times, of BabyLM's sizes."""
    root = tmp_path_factory.mktemp("evaluation_data") / "fast_eval"
    write_jsonl(root / "blimp_fast" / "Island_A.jsonl", [p | {"UID": "Island_A"} for p in made_up_pairs(200)])
    for uid in ("hypernym", "turn_taking"):
        write_jsonl(root / "supplement_fast" / f"{uid}.jsonl", made_up_pairs(50, seed=1))
    forms = [{"sentences": f"a {WORDS[i % 8]} noun ly\ta {WORDS[i % 7]} noun ness", "ratio": i / 50} for i in range(50)]
    write_jsonl(root / "wug_past_tense" / "wug_past_tense.jsonl", forms)
    (root / "reading").mkdir()
    rng, rows = np.random.default_rng(0), []
    for i in range(1726):
        row = {
            "item": f"the {WORDS[i % 8]}", "word": WORDS[i % 7], "sentence": f"the {WORDS[i % 8]} {WORDS[i % 7]}",
            "prev_item": "the" if i % 9 else "", "prev_word": WORDS[i % 8], "sent_id": i // 8,
            "context_length": 2, "length": len(WORDS[i % 7]), "prev_length": 3, "Subtlex_log10": rng.normal(10, 2),
        }  # fmt: skip
        rows.append(row | {name: rng.normal(200, 30) for name in (*EYE_TRACKING, SELF_PACED)})
    pd.DataFrame(rows).to_csv(root / "reading" / "reading_data.csv")
    return root.parent


@pytest.fixture(scope="module")
def entry(tiny_tokenizer, tmp_path_factory):
    """A model with two revisions, each with weights of its own."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("entry") / "my-model"
    for seed, place in enumerate((folder, folder / "chck_10M", folder / "chck_2M")):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=64,
        )  # fmt: skip
        model = BertForMaskedLM(config)
        model.get_input_embeddings().weight.data *= 20
        model.save_pretrained(place)
        tiny_tokenizer.save_pretrained(place)
    return folder


@pytest.fixture(scope="module")
def report(entry, data, tiny_tokenizer, tmp_path_factory):
    counts = np.arange(len(tiny_tokenizer))
    return evaluate_babylm(entry, data, tmp_path_factory.mktemp("results"), token_counts=counts, show=False)


def predictions(report, *parts):
    return json.loads((report.folder.joinpath(*parts) / "predictions.json").read_text(encoding="utf-8"))


def test_the_files_are_where_the_collating_script_looks(report):
    assert report.folder.name == "my-model"
    for revision in ("main", "chck_2M", "chck_10M"):
        place = report.folder / revision / "zero_shot" / "mlm"
        for name in ("blimp/blimp_fast", "blimp/supplement_fast", "wug_past/wug_past_tense", "reading"):
            assert (place / name / "predictions.json").is_file()


def test_pairs_are_what_the_pipeline_would_count(report, entry, data, tiny_tokenizer):
    """Read as its scripts read them: file by file, line by line, the prediction compared with the good sentence."""
    found = predictions(report, "chck_2M", "zero_shot", "mlm", "blimp", "supplement_fast")
    assert list(found) == ["hypernym", "turn_taking"]
    shares = []
    for uid, listed in found.items():
        lines = (data / "fast_eval" / "supplement_fast" / f"{uid}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert [one["id"] for one in listed["predictions"]] == [f"{uid}_{i}" for i in range(50)]
        answers = [one["pred"] for one in listed["predictions"]]
        shares.append(np.mean([answer == row["sentence_good"] for answer, row in zip(answers, rows, strict=True)]))
        model = load_checkpoint(str(entry / "chck_2M"), tiny_tokenizer)
        for answer, row in list(zip(answers, rows, strict=True))[:20]:
            both = [row["sentence_good"], row["sentence_bad"]]
            good, bad = pseudo_log_likelihood(model, tiny_tokenizer, both, metric="original").sums_S
            assert answer == (both[0] if good >= bad - 1e-4 else both[1])
    (score,) = [s for s in report.scores if (s.revision, s.dataset) == ("chck_2M", "supplement_fast")]
    assert score.pipeline == pytest.approx(np.mean(shares))
    assert score.ties >= 10, "every tenth pair cannot be told apart"
    assert score.fair == pytest.approx(score.pipeline - 0.5 * score.ties / 100)


def test_word_forms_have_the_share_of_the_first(report, data, entry, tiny_tokenizer):
    found = predictions(report, "main", "zero_shot", "mlm", "wug_past", "wug_past_tense")["wug_past"]["predictions"]
    rows = (data / "fast_eval" / "wug_past_tense" / "wug_past_tense.jsonl").read_text(encoding="utf-8").splitlines()
    assert [one["id"] for one in found] == [f"wug_past_{i}" for i in range(50)]
    model = load_checkpoint(str(entry), tiny_tokenizer)
    for one, row in zip(found[:10], map(json.loads, rows), strict=False):
        both = row["sentences"].split("\t")
        first, second = pseudo_log_likelihood(model, tiny_tokenizer, both, metric="original").sums_S
        assert one["prob"] == pytest.approx(1 / (1 + np.exp(second - first)), abs=1e-5)
        assert one["pred"] == both[0 if one["prob"] >= 0.5 else 1]


def test_reading_has_surprisals_in_nats_and_nan_without_a_word_before(report):
    found = predictions(report, "main", "zero_shot", "mlm", "reading")["reading"]["predictions"]
    assert [one["id"] for one in found] == list(range(1726))
    assert all(one["pred"] > 0 for one in found)
    assert [math.isnan(one["prev_pred"]) for one in found[:10]] == [i % 9 == 0 for i in range(10)]


def test_every_file_that_is_missing_is_named(report):
    assert "main/zero_shot/mlm/blimp/blimp_filtered/predictions.json" in report.missing
    assert "main/zero_shot/mlm/comps/comps/predictions.json" in report.missing
    assert "main/zero_shot/mlm/AoA_word/surprisal.json" in report.missing
    assert "main/finetune/boolq/predictions.json" in report.missing
    assert "chck_2M/zero_shot/mlm/ewok/ewok_fast/predictions.json" in report.missing
    assert "chck_2M/zero_shot/mlm/blimp/blimp_fast/predictions.json" not in report.missing
    assert "chck_3M/zero_shot/mlm/blimp/blimp_fast/predictions.json" in report.missing
    full, fast = 5 + 2 + 1 + 1 + 7, 4 + 2 + 1
    assert len(report.missing) == full - 2 + len(revision_names()) * fast - 2 * 4
    assert f"{len(report.missing)} files" in report.table()
    kept = json.loads((report.folder / "babylm.json").read_text(encoding="utf-8"))
    assert kept["missing"] == list(report.missing)
    assert len(kept["scores"]) == 3 * 5


def test_revisions_come_by_their_words_and_main_last(entry):
    assert list(revisions_of(entry)) == ["chck_2M", "chck_10M", "main"]
    assert revision_names()[:2] == ("chck_1M", "chck_2M")
    assert revision_names()[-2:] == ("chck_90M", "chck_100M")
    assert len(revision_names()) == 19


def test_a_set_of_another_size_is_refused_before_anything_is_scored(tmp_path, entry):
    write_jsonl(tmp_path / "data" / "blimp_fast" / "a.jsonl", made_up_pairs(199))
    with pytest.raises(InputError, match="blimp_fast, a: 199 items, and BabyLM's has 200"):
        evaluate_babylm(entry, tmp_path / "data", tmp_path / "results", show=False)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hypernym": 842, "mine": 3}, "has 'mine', which is not in BabyLM's supplement_filtered"),
        ({"Hypernym": 842}, "lacks 4 of BabyLM's UIDs, the first is 'qa_congruence_easy'"),
        ({"hypernym": 800}, "800 items, and BabyLM's has 842"),
    ],
)
def test_full_sets_have_the_uids_and_sizes_of_babylm(sizes, message):
    with pytest.raises(InputError, match=message):
        tree.require_sizes(SET["supplement_filtered"], sizes)


def test_no_data_of_babylm_is_an_error_that_names_them(tmp_path, entry):
    with pytest.raises(InputError, match=r"none of BabyLM's data sets.*blimp_fast"):
        evaluate_babylm(entry, tmp_path, tmp_path / "results", show=False)


def test_a_set_that_the_model_cannot_read_is_named_and_its_old_file_goes(tmp_path, entry, tiny_tokenizer):
    rows = [p | {"sentence_good": "tree " * 90} for p in made_up_pairs(50)]
    write_jsonl(tmp_path / "data" / "supplement_fast" / "a.jsonl", rows)
    write_jsonl(tmp_path / "data" / "blimp_fast" / "a.jsonl", made_up_pairs(200))
    old = tmp_path / "results" / "m" / "main" / "zero_shot" / "mlm" / "blimp" / "supplement_fast" / "predictions.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    report = evaluate_babylm(entry / "chck_2M", tmp_path / "data", tmp_path / "results", name="m", show=False)
    assert not old.exists()
    assert [score.dataset for score in report.scores] == ["blimp_fast"]
    assert any("supplement_fast is not scored" in note and "64 positions" in note for note in report.notes)


def test_tuned_answers_are_written_in_the_order_of_the_validation_file(tmp_path, entry, data):
    answers = np.random.default_rng(0).integers(0, 2, 139)
    folder = tmp_path / "tuned" / "rte" / "seed-3"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"split": "validation", "index": range(139), "label": 0, "prediction": answers})
    frame.sample(frac=1, random_state=0).to_parquet(folder / "predictions.parquet")
    report = evaluate_babylm(
        entry / "chck_2M", data / "fast_eval" / "blimp_fast", tmp_path / "results", tuned=tmp_path / "tuned", show=False
    )
    found = predictions(report, "main", "finetune", "rte")["rte"]["predictions"]
    assert found == [{"id": f"rte_{i}", "pred": int(answer)} for i, answer in enumerate(answers)]
    assert "main/finetune/rte/predictions.json" not in report.missing


def test_tuned_answers_of_another_size_or_task_are_refused():
    with pytest.raises(InputError, match="rte has 277 validation examples, and BabyLM's has 139"):
        tree.of_classes("rte", [0] * 277)
    with pytest.raises(InputError, match="'cola' is none of them"):
        tree.of_classes("cola", [0])
    assert len(FINETUNE_SIZES) == 7


@pytest.mark.data
def test_the_real_fast_sets_have_the_sizes_and_the_uids_are_blimps(data_root):
    found = find_sets(data_root / "zero_shot" / "babylm_fast")
    assert {one.name for one, _ in found} == {
        "supplement_fast", "entity_tracking_fast", "wug_adj_nominalization", "reading",
    }  # fmt: skip
    require_right_sizes(found)
    (blimp,) = read_item_sets([data_root / "zero_shot" / "blimp"]).sets
    assert set(SET["blimp_filtered"].sizes) == {uid.lower() for uid in blimp.paradigms}
    with pytest.raises(InputError, match="1,000 items, and BabyLM's has"):
        tree.require_sizes(SET["blimp_filtered"], {uid: len(items) for uid, items in blimp.paradigms.items()})
