"""`maskwise evaluate` as a user runs it: checkpoints side by side, with one tokenizer and with several."""

from __future__ import annotations

import copy
import json
import pydoc_data.topics
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from maskwise.errors import InputError
from maskwise.evaluation.held_out import evaluate_mlm, evaluate_unigram, make_held_out_eval
from maskwise.lab.evaluation.side_by_side import WINDOW_WORDS, WordGrade, evaluate_words
from maskwise.lab.tokens.blocks import open_data
from maskwise.models.presets import build_model
from maskwise.models.sparse import SparseHead

SENTENCE = "the cat saw a small bird on the old tree and we were walking slowly by the river in the morning sun"
KNOWN_WORDS = SENTENCE.split()


@pytest.fixture(scope="module")
def two(tiny_data, tmp_path_factory) -> list[str]:
    """Two different checkpoints with the data's tokenizer."""
    folder, tokenizer = tmp_path_factory.mktemp("two"), open_data(tiny_data).tokenizer
    return [save_checkpoint(folder / f"model-{seed}", tokenizer, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def foreign(tiny_tokenizer, tmp_path_factory) -> str:
    """A checkpoint with another tokenizer."""
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.model_max_length = 512
    return save_checkpoint(tmp_path_factory.mktemp("foreign") / "model", tokenizer, seed=3)


def save_checkpoint(folder: Path, tokenizer: Any, seed: int) -> str:
    """Saves a random tiny model that is sure of some tokens and not of others."""
    model = build_model("tiny", len(tokenizer), seed, tokenizer.pad_token_id)
    model.get_input_embeddings().weight.data *= 10
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def text(tmp_path) -> Path:
    """Plain words of the language reference, a document of 3 windows and a rest, and one too short for a window."""
    words = [word for topic in sorted(pydoc_data.topics.topics.values()) for word in topic.split() if word.isalpha()]
    path = tmp_path / "text.txt"
    documents = [" ".join(words[: 3 * WINDOW_WORDS + 5]), " ".join(words[: WINDOW_WORDS - 1])]
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


# One tokenizer: token by token.


def test_quintiles_may_be_those_of_a_teacher_s_entropy(maskwise, two, tiny_data):
    by_frequency = json.loads(maskwise(["evaluate", two[0], "--data", tiny_data, "--json"]))
    by_entropy = json.loads(maskwise(["evaluate", two[0], "--data", tiny_data, "--by-entropy-of", two[1], "--json"]))
    assert by_entropy[two[0]]["loss"] == pytest.approx(by_frequency[two[0]]["loss"])
    assert by_entropy[two[0]]["loss_q1"] != pytest.approx(by_frequency[two[0]]["loss_q1"])
    table = maskwise(["evaluate", two[0], "--data", tiny_data, "--by-entropy-of", two[1]])
    assert table.strip().endswith(f"by the entropy of {two[1]}, q1 the lowest.")


def test_a_teacher_with_another_tokenizer_cannot_sort_the_tokens(refused, two, foreign, tiny_data):
    message = refused(["evaluate", two[0], "--data", str(tiny_data), "--by-entropy-of", foreign])
    assert "tokenizer" in message and foreign in message


def test_checkpoints_stand_side_by_side_under_the_floor(two, tiny_data, maskwise):
    shown = maskwise(["evaluate", *two, "--data", tiny_data, "--blocks", 20])
    *lines, legend = shown.splitlines()
    assert "token frequency" in legend
    data = open_data(tiny_data)
    held_out = make_held_out_eval(data.valid, data.tokenizer, data.token_counts, blocks=20)
    expected = {"unigram floor": evaluate_unigram(held_out)}
    expected |= {name: evaluate_mlm(AutoModelForMaskedLM.from_pretrained(name), held_out) for name in two}
    assert len(lines) == 4
    for line, (name, result) in zip(lines[1:], expected.items(), strict=True):
        assert line.startswith(f"{name} ")
        assert line.removeprefix(name).split()[0] == f"{result.grade('loss'):.4f}"
    assert len({line.split()[-1] for line in lines[1:]}) == 3, "three models, three grades"


def test_nothing_but_our_own_progress_is_shown(two, tiny_data, exit_code, capsys):
    from transformers.utils.logging import enable_progress_bar

    enable_progress_bar()
    exit_code(["evaluate", *two, "--data", tiny_data, "--blocks", 4])
    shown = capsys.readouterr().err
    assert "Loading weights" not in shown
    assert [line.split(":")[0] for line in shown.splitlines()] == [f"evaluate {name}" for name in two]


def test_json_has_every_figure_of_the_table(two, tiny_data, maskwise):
    figures = json.loads(maskwise(["evaluate", *two, "--data", tiny_data, "--blocks", 20, "--json"]))
    *table, _ = maskwise(["evaluate", *two, "--data", tiny_data, "--blocks", 20]).splitlines()
    assert list(figures) == ["unigram floor", *two]
    for line, (name, grades) in zip(table[1:], figures.items(), strict=True):
        cells = line.removeprefix(name).split()
        assert cells[0] == f"{grades['loss']:.4f}"
        assert cells[2:4] == [f"{grades['top1']:.2%}", f"{grades['top5']:.2%}"]
        assert cells[4:] == [f"{grades[f'loss_q{q}']:.3f}" for q in range(1, 6)]


def test_another_tokenizer_is_an_error_that_points_to_whole_words(two, foreign, tiny_data, refused):
    said = refused(["evaluate", two[0], foreign, "--data", str(tiny_data)])
    assert foreign in said
    assert "different vocabularies" in said
    assert "--words" in said


@pytest.fixture(scope="module")
def broken(tiny_data, two, tmp_path_factory) -> str:
    """A checkpoint with one weight that is no number."""
    folder = shutil.copytree(two[0], tmp_path_factory.mktemp("broken") / "model")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.bert.encoder.layer[1].output.dense.bias.data[3] = float("nan")
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("way", ["tokens", "words", "teacher"])
def test_a_checkpoint_with_a_weight_that_is_no_number_has_no_grade(way, two, broken, tiny_data, text, refused):
    """It would stand in the table as nan, or as a teacher sort the tokens in no order."""
    said = refused(["evaluate", *{
        "tokens": [two[0], broken, "--data", tiny_data, "--blocks", 4],
        "words": [two[0], broken, "--words", text],
        "teacher": [two[0], "--data", tiny_data, "--blocks", 4, "--by-entropy-of", broken],
    }[way]])  # fmt: skip
    assert f"{broken!r} has weights or losses that are not finite" in said
    assert len([line for line in said.splitlines() if not line.startswith("evaluate")]) == 2


@pytest.mark.parametrize("words", [False, True])
def test_a_checkpoint_whose_losses_overflow_has_no_grade(words, two, tiny_data, text, refused, tmp_path):
    model = AutoModelForMaskedLM.from_pretrained(two[0])
    model.cls.predictions.transform.LayerNorm.weight.data.fill_(3e38)
    model.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(two[0]).save_pretrained(tmp_path / "model")
    source = ["--words", text] if words else ["--data", tiny_data, "--blocks", 4]
    assert "losses that are not finite" in refused(["evaluate", tmp_path / "model", *source])


@pytest.mark.parametrize("both", [False, True])
def test_an_exam_is_of_one_kind(both, two, tiny_data, text, refused):
    arguments = ["--data", str(tiny_data), "--words", str(text)] if both else []
    assert "--data DIR (one tokenizer), or --words SOURCE" in refused(["evaluate", *two, *arguments])


# Several tokenizers: word by word.


def test_checkpoints_with_different_tokenizers_are_asked_the_same_words(two, foreign, text, maskwise):
    grades = json.loads(maskwise(["evaluate", two[0], foreign, "--words", text, "--json"]))
    mine, theirs = grades[two[0]], grades[foreign]
    assert (mine["words"], mine["characters"]) == (theirs["words"], theirs["characters"])
    assert 5 < mine["words"] + grades["skipped"] < 0.4 * 3 * WINDOW_WORDS
    assert mine["loss"] != theirs["loss"]
    shown = maskwise(["evaluate", two[0], foreign, "--words", text])
    for name, grade in ((two[0], mine), (foreign, theirs)):
        (line,) = [line for line in shown.splitlines() if line.startswith(name)]
        assert line.removeprefix(name).split()[0] == f"{grade['loss'] / grade['characters']:.4f}"


def test_a_model_given_twice_gets_the_same_grade_twice(two, text, tmp_path):
    again = shutil.copytree(two[0], tmp_path / "again")
    report = evaluate_words([two[0], str(again)], [str(text)], show=False)
    first, second = report.results.values()
    assert first.words > 5
    assert first == second


def test_about_fifteen_percent_of_the_words_are_asked(two, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(" ".join(KNOWN_WORDS[i % len(KNOWN_WORDS)] for i in range(100 * WINDOW_WORDS)))
    report = evaluate_words(two[:1], [str(path)], windows=60, show=False)
    num_asked = report.results[two[0]].words + report.skipped
    assert abs(num_asked / (60 * WINDOW_WORDS) - 0.15) < 4 * (0.15 * 0.85 / (60 * WINDOW_WORDS)) ** 0.5


def test_one_window_equals_brute_force(two, text, monkeypatch):
    """Masked words seen as the model sees them; their grades from the dense float64 model."""
    seen = []
    logits = SparseHead.logits

    def noted(head, inputs, rows):
        seen.append(inputs["input_ids"][0].tolist())
        return logits(head, inputs, rows)

    monkeypatch.setattr(SparseHead, "logits", noted)
    grade = evaluate_words(two[:1], [str(text)], windows=1, show=False).results[two[0]]
    (masked,) = seen

    tokenizer = AutoTokenizer.from_pretrained(two[0])
    words = text.read_text(encoding="utf-8").split()[:WINDOW_WORDS]
    encoding = tokenizer(words, is_split_into_words=True)
    log_p_TV = dense_log_p(two[0], masked)
    loss, asked, wrong = 0.0, set(), set()
    for i, (token, word) in enumerate(zip(encoding["input_ids"], encoding.word_ids(), strict=True)):
        if masked[i] != token:
            assert masked[i] == tokenizer.mask_token_id
            loss -= log_p_TV[i, token].item()
            asked.add(word)
            wrong |= {word} if log_p_TV[i].argmax() != token else set()
    whole = [i for i, word in enumerate(encoding.word_ids()) if word in asked]
    assert all(masked[i] == tokenizer.mask_token_id for i in whole), "a word was masked in part"
    assert len(whole) > len(asked) > 2, "no word of several pieces was asked"
    assert grade.loss == pytest.approx(loss, rel=1e-5)
    assert grade[1:] == (sum(len(words[i]) for i in asked), len(asked - wrong), len(asked))


def dense_log_p(checkpoint: str, input_ids: list[int]) -> torch.Tensor:
    model = AutoModelForMaskedLM.from_pretrained(checkpoint, dtype=torch.float64).eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([input_ids])).logits[0].log_softmax(-1)


def test_the_sums_of_windows_add_up():
    assert WordGrade(1.5, 2, 3, 4).plus(WordGrade(10.0, 20, 30, 40)) == WordGrade(11.5, 22, 33, 44)


def test_words_that_one_tokenizer_does_not_know_are_asked_of_nobody(two, foreign, tmp_path):
    """A word that is [UNK] to one model is an easy question for it, and would flatter it."""
    path = tmp_path / "text.txt"
    words = [word if i % 2 else "snow\u2603man" for i, word in enumerate(KNOWN_WORDS * 10)]
    path.write_text(" ".join(words), encoding="utf-8")
    known = tmp_path / "known.txt"
    known.write_text(" ".join(KNOWN_WORDS * 10), encoding="utf-8")
    report = evaluate_words([two[0], foreign], [str(path)], show=False)
    everything = evaluate_words([two[0], foreign], [str(known)], show=False)
    num_words = {grade.words for grade in report.results.values()}
    assert everything.skipped == 0
    assert report.skipped > 5
    assert num_words == {everything.results[foreign].words - report.skipped}
    assert f"{report.skipped} that a model cannot spell were left out" in report.table()


@pytest.mark.parametrize("word", ["[MASK]", "[SEP]", "[UNK]", "\u200b\u200d", "\u2603"])
def test_what_is_no_text_to_a_tokenizer_is_no_question(two, tmp_path, word):
    path = tmp_path / "text.txt"
    path.write_text(" ".join([word] * WINDOW_WORDS * 3), encoding="utf-8")
    with pytest.raises(InputError, match="no word to grade"):
        evaluate_words(two[:1], [str(path)], show=False)


def test_a_window_that_a_model_has_no_positions_for_is_left_out(two, tmp_path):
    """A table of long names would otherwise end the evaluation with an index error."""
    path = tmp_path / "text.txt"
    words = [*["zebra" * 15] * WINDOW_WORDS, *(KNOWN_WORDS * 3)[:WINDOW_WORDS]]
    path.write_text(" ".join(words), encoding="utf-8")
    report = evaluate_words(two[:1], [str(path)], show=False)
    alone = tmp_path / "alone.txt"
    alone.write_text(" ".join(words[:WINDOW_WORDS]), encoding="utf-8")
    assert report.skipped > 0
    assert report.results[two[0]].words > 0
    with pytest.raises(InputError, match=f"{report.skipped} words were left out"):
        evaluate_words(two[:1], [str(alone)], show=False)


def test_a_text_without_a_window_is_an_error_that_says_how_long_one_is(two, tmp_path, refused):
    path = tmp_path / "short.txt"
    path.write_text("A few words are no evaluation.", encoding="utf-8")
    said = refused(["evaluate", *two, "--words", str(path)])
    assert f"windows have {WINDOW_WORDS} words" in said
    assert str(path) in said
