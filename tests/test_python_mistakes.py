"""Mistakes made in Python get the care of those on the command line: each message shows the line that works."""

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from maskwise import (
    Distillation,
    Entropy,
    InputError,
    Masker,
    MaskingCollator,
    MaskingTrainer,
    RefreshedScores,
    StatefulScore,
    Stored,
    Typhoon,
    check,
    corrupt,
    count_tokens,
    lab,
    load_recipe,
    make_held_out_eval,
    pseudo_log_likelihood,
    store_scores,
    token_entropy,
    tokenize_rows,
    uniform,
    word_surprisal,
)
from maskwise.testing import tiny_model, word_tokenizer

TOKENIZER = word_tokenizer("the old sea sits in a garden")
MODEL = tiny_model(TOKENIZER)
ROWS = [{"input_ids": [2, 5, 6, 7, 3]} for _ in range(4)]
TEXT_ROWS = [{"text": "the old sea"}]
WITHOUT_WORDS = [{"input_ids": [2, 5, 6, 3]}]


def masked(rows, **options):
    collator = MaskingCollator(Masker(uniform, TOKENIZER, **options))
    collator.set_epoch(0)
    return collator(rows)


def trainer(model=MODEL, args=None, **options):
    given = {"masker": Masker(uniform, TOKENIZER), "train_dataset": ROWS} | options
    return MaskingTrainer(model, args, **given)


def tiny_study():
    return lab.load_study("typhoon", scale="tiny")


MASKERS = {
    "a class of scores": (lambda: Masker(Entropy, TOKENIZER), r"write Entropy\(\)"),
    "the base class": (lambda: Masker(StatefulScore, TOKENIZER), r"write StatefulScore\(\)"),
    "a name of a score": (lambda: Masker("entropy", TOKENIZER), r"such as Entropy\(\)"),
    "no score": (lambda: Masker(None, TOKENIZER), r"a function score\(batch\)"),
    "a dict for a score": (lambda: Masker({"score": "entropy"}, TOKENIZER), r"a function score\(batch\)"),
    "a model for a score": (lambda: Masker(MODEL, TOKENIZER), r"Write Entropy\(model\)"),
    "no tokenizer": (lambda: Masker(uniform), r"give AutoTokenizer\.from_pretrained"),
    "tokenizer None": (lambda: Masker(uniform, None), r"give AutoTokenizer\.from_pretrained"),
    "a class of tokenizers": (lambda: Masker(uniform, type(TOKENIZER)), r"\.from_pretrained\(name\)"),
    "a model for a tokenizer": (lambda: Masker(uniform, MODEL), r"Write AutoTokenizer\.from_pretrained"),
    "a rate as a text": (lambda: Masker(uniform, TOKENIZER, rate="0.15"), r"found '0\.15'"),
    "a rate in percent": (lambda: Masker(uniform, TOKENIZER, rate=15), r"Write 15% as 0\.15"),
    "a unit misspelt": (lambda: Masker(uniform, TOKENIZER, unit="words"), "mean 'word'"),
    "a pick as a number": (lambda: Masker(uniform, TOKENIZER, pick=3), "there are sample, high"),
    "a corruption as a dict": (lambda: Masker(uniform, TOKENIZER, corruption={"mask": 1}), r"corruption=\(0\.8, 0\.1"),
    "a corruption as a number": (lambda: Masker(uniform, TOKENIZER, corruption=0.8), r"corruption=\(0\.8, 0\.1"),
    "a column as a text": (lambda: Masker(uniform, TOKENIZER, columns="idf"), r"Write columns=\('idf',\)"),
    "a seed as a text": (lambda: Masker(uniform, TOKENIZER, seed="1"), "Write seed=1"),
    "sharpness as a text": (lambda: Masker(uniform, TOKENIZER, sharpness="2"), "Write sharpness=2"),
    "a recipe as a dict": (lambda: Masker.from_recipe({"masking": {}}, TOKENIZER), r"load_recipe\('whole-word'\)"),
    "a recipe's key": (lambda: Masker.from_recipe("random", TOKENIZER, rates=0.3), "mean 'rate'"),
    "a recipe without teacher": (lambda: Masker.from_recipe("entropy-high", TOKENIZER), "Give teacher="),
    "rows in a masker": (lambda: Masker(uniform, TOKENIZER)(ROWS), r"MaskingCollator\(masker\)\(rows\)"),
    "text in a masker": (lambda: Masker(uniform, TOKENIZER)("the sea"), r"tokenizer\(texts, padding=True"),
    "an unbound score": (
        lambda: Masker(Entropy(), TOKENIZER)({"input_ids": torch.tensor([[2, 5, 3]])}), r"call bind\(model\) first",
    ),
}  # fmt: skip
COLLATORS = {
    "a score": (lambda: MaskingCollator(uniform), r"MaskingCollator\(Masker\(uniform, tokenizer\)\)"),
    "a name": (lambda: MaskingCollator("random"), r"Masker\.from_recipe\('random', tokenizer\)"),
    "the class": (lambda: MaskingCollator(Masker), r"the class Masker\. Write MaskingCollator\(Masker\("),
    "a score of the model": (lambda: MaskingCollator(Masker(Entropy(), TOKENIZER)), r"MaskingTrainer\(model, args"),
    "no epoch": (lambda: MaskingCollator(Masker(uniform, TOKENIZER))(ROWS), r"collator\.set_epoch\(epoch\)"),
    "texts": (lambda: masked(["the sea"]), r"Write tokenize_rows\(texts, tokenizer\)"),
    "rows of text": (lambda: masked(TEXT_ROWS), r"Write tokenize_rows\(\[row\['text'\]"),
    "no word ids": (lambda: masked(WITHOUT_WORDS, unit="word"), r"encoding\.word_ids\(\)"),
    "a missing column": (lambda: masked(ROWS, columns=("idf",)), "needs the column 'idf'"),
}
SCORES = {
    "Entropy of a class": (lambda: Entropy(type(MODEL)), r"AutoModelForMaskedLM\.from_pretrained"),
    "Entropy of a tokenizer": (lambda: Entropy(TOKENIZER), r"Entropy\(\) for the model in training"),
    "a phase without teacher": (lambda: Entropy(epochs=1), "needs a teacher"),
    "Distillation of a name": (lambda: Distillation("bert"), r"Distillation\(AutoModelForMaskedLM\.from_pretrained"),
    "Distillation of a class": (lambda: Distillation(type(MODEL)), r"Distillation\(AutoModelForMaskedLM\.from"),
    "RefreshedScores of a class": (lambda: RefreshedScores(Entropy), r"write Entropy\(\)"),
    "a period as a text": (lambda: RefreshedScores(Entropy(), "2"), "whole number of epochs"),
    "a period as a fraction": (lambda: RefreshedScores(Entropy(), 0.5), "whole number of epochs"),
    "counts as a dict": (lambda: Typhoon(TOKENIZER, {5: 3}), r"Write count_tokens\(rows, tokenizer\)"),
    "Typhoon of a model": (lambda: Typhoon(MODEL, np.ones(9)), r"Write AutoTokenizer\.from_pretrained"),
    "scores that are not there": (lambda: Stored("nowhere"), "Run maskwise annotate"),
    "scores as a number": (lambda: Stored(3), "named by a text or a path"),
    "scores by a name": (lambda: store_scores("entropy", ROWS, "s", show=False), r"such as Entropy\(\)"),
    "shares without noise": (
        lambda: corrupt(torch.ones(1, 1), torch.ones(1, 1) > 0, mask_token_id=4, shares=load_shares()),
        "ordinary_ids_N",
    ),
}  # fmt: skip
TRAINERS = {
    "no masker": (lambda: MaskingTrainer(MODEL, train_dataset=ROWS), r"Write Masker\(score, tokenizer\)"),
    "the class Masker": (lambda: trainer(masker=Masker), r"the class Masker\. Write Masker\("),
    "a masker as a dict": (lambda: trainer(masker={"rate": 0.3}), r"Write Masker\(score, tokenizer\)"),
    "a recipe misspelt": (lambda: trainer(masker="entropy-hihg", processing_class=TOKENIZER), "mean 'entropy-high'"),
    "a recipe without tokenizer": (lambda: trainer(masker="random"), "give processing_class=tokenizer"),
    "arguments as a dict": (lambda: trainer(args={"max_steps": 1}), r"Write TrainingArguments\(\*\*options\)"),
    "arguments as a text": (lambda: trainer(args="out"), r"Write TrainingArguments\('folder'"),
    "the class of the model": (lambda: trainer(type(MODEL)), r"AutoModelForMaskedLM\.from_config"),
    "no model": (lambda: trainer(None), r"AutoModelForMaskedLM\.from_pretrained"),
    "texts": (lambda: trainer(train_dataset=["the sea"]), r"dict\(tokenizer\(text, truncation=True\)\)"),
    "rows of text": (lambda: trainer(train_dataset=TEXT_ROWS), r"dict\(tokenizer\(text, truncation=True\)\)"),
    "a data set by its name": (lambda: trainer(train_dataset="data"), r"datasets\.load_from_disk"),
    "nothing to train on": (lambda: trainer(train_dataset=None).train(), "a train_dataset"),
    "a collator": (lambda: trainer(data_collator=list), "leave out data_collator"),
    "a model for a distillation": (lambda: trainer(distillation=MODEL), r"Write Distillation\(teacher\)"),
    "the model as its teacher": (
        lambda: trainer(masker=Masker(Entropy(MODEL), TOKENIZER)).train(), r"in training write Entropy\(\)",
    ),
}  # fmt: skip
FUNCTIONS = {
    "one text": (lambda: tokenize_rows("a text", TOKENIZER), r"tokenize_rows\(\[text\], tokenizer\)"),
    "no tokenizer": (lambda: tokenize_rows(["a text"], None), r"AutoTokenizer\.from_pretrained"),
    "rows for texts": (lambda: tokenize_rows(TEXT_ROWS, TOKENIZER), r"\[row\['text'\] for row in rows\]"),
    "texts for rows": (lambda: count_tokens(["a b"], TOKENIZER), r"tokenize_rows\(texts, tokenizer\)"),
    "no recipe": (lambda: load_recipe(None), r"load_recipe\('whole-word'\)"),
    "a collator's class": (lambda: check(MaskingCollator, ROWS, TOKENIZER), "Give an instance or a function"),
    "held-out texts": (lambda: make_held_out_eval(["the sea"], TOKENIZER), r"tokenize_rows\(texts, tokenizer\)"),
    "no held-out row": (lambda: make_held_out_eval([], TOKENIZER), "no held-out text"),
    "one sentence": (lambda: pseudo_log_likelihood(MODEL, TOKENIZER, "the sea"), r"\['the sea'\]"),
    "a model's name": (lambda: pseudo_log_likelihood("run", TOKENIZER, ["a"]), r"AutoModelForMaskedLM\.from_pre"),
    "words without contexts": (
        lambda: word_surprisal(MODEL, TOKENIZER, ["a"], ["b", "c"]),
        r"\['the cat'\], \['sat'\]",
    ),
    "logits in a list": (lambda: token_entropy([1.0, 2.0]), r"model\(\*\*batch\)\.logits"),
}
LABORATORY = {
    "sources None": (lambda: lab.prepare(None, "d", train_tokenizer=100), "names of files and folders"),
    "no folder for data": (lambda: lab.prepare("x.txt", train_tokenizer=100), "out='data'"),
    "a setting misspelt": (lambda: lab.prepare("x.txt", "d", train_tokeniser=100), "mean 'train_tokenizer'"),
    "no folder for a run": (lambda: lab.pretrain(data="d", model="tiny"), "out='run'"),
    "settings as a list": (lambda: lab.pretrain([1], "r"), "Settings are a mapping"),
    "a model for a name": (lambda: lab.pretrain(data="d", model=MODEL, out="r"), r"model\.save_pretrained\('run'\)"),
    "masking by a text": (
        lambda: lab.pretrain(data="d", model="tiny", out="r", masking="high"),
        r"masking=\{'rate': 0",
    ),
    "TrainingArguments": (
        lambda: lab.pretrain(data="d", model="tiny", out="r", trainer=TrainingArguments("out", report_to=[])),
        r"trainer=\{'learning_rate': 1e-4\}",
    ),
    "a teacher as a model": (lambda: lab.annotate("d", MODEL), r"model\.save_pretrained\('run'\)"),
    "a checkpoint as a model": (lambda: lab.evaluate(MODEL, "d"), "the name of a folder"),
    "a task misspelt": (lambda: lab.finetune("m", "mrcp", out="t"), "mean 'mrpc'"),
    "a task as a number": (lambda: lab.finetune("m", 3, out="t"), r"\['cola', 'mrpc'\]"),
    "a number of seeds": (lambda: lab.finetune("m", "mrpc", out="t", seeds=3), r"seeds=range\(5\)"),
    "settings as a text": (lambda: lab.finetune("m", "mrpc", out="t", settings="fast"), r"\{'learning_rate': 1e-4\}"),
    "a model to tune": (lambda: lab.finetune(MODEL, "mrpc", out="t"), r"model\.save_pretrained\('run'\)"),
    "a model to preview": (lambda: lab.preview("the sea", MODEL), r"model\.save_pretrained\('run'\)"),
    "texts to preview": (lambda: lab.preview(["the sea"], "m"), r"preview\('a text', checkpoint\)"),
    "a model that moved": (lambda: lab.drift("m", MODEL), r"model\.save_pretrained\('run'\)"),
    "a study as a dict": (lambda: lab.load_study({"arms": []}), r"load_study\('study\.toml'\)"),
    "a study's name": (lambda: lab.run_study("typhoon", "out"), r"load_study\('study\.toml'\)"),
    "an executor's name": (lambda: lab.run_study(tiny_study(), "out", executor="local"), r"executor=LocalExecutor\("),
    "a report of nothing": (lambda: lab.report(None), "named by a text or a path"),
    "a study without results": (lambda: lab.report(tiny_study()), r"report\('out'\)"),
    "results of no study": (lambda: lab.collect("nowhere"), "no study.toml"),
    "single numbers": (lambda: lab.compare(0.8, 0.9), r"\{0: 0\.81, 1: 0\.84\}"),
    "other seeds": (lambda: lab.compare({0: 0.8, 1: 0.9}, {0: 0.8, 2: 0.9}), "the same seeds in both"),
    "scores as texts": (lambda: lab.compare({0: "a", 1: "b"}, {0: 0.8, 1: 0.9}), "one finite number"),
    "a margin in words": (lambda: lab.compare([0.8, 0.9], [0.8, 0.7], margin="five"), "such as '5%'"),
    "p values as a text": (lambda: lab.holm("x"), r"holm\(\[0\.01, 0\.04, 0\.03\]\)"),
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load_shares():
    return Masker(uniform, TOKENIZER, corruption=(0.8, 0.1, 0.1)).corruption


@pytest.mark.parametrize("mistakes", [MASKERS, COLLATORS, SCORES, TRAINERS, FUNCTIONS, LABORATORY], ids=len)
def test_a_mistake_in_python_is_answered_with_the_line_that_works(mistakes):
    assert len(mistakes) > 8
    for name, (mistake, line) in mistakes.items():
        with pytest.raises(InputError, match=line):
            print(name, mistake())


def test_nothing_is_left_behind_by_a_mistake(tmp_path):
    for mistake, _ in LABORATORY.values():
        with pytest.raises(InputError):
            mistake()
    assert not list(tmp_path.iterdir())


def test_word_ids_may_be_none():
    """As the tokenizer gives them: None at special tokens counts as -1."""
    told = [{"input_ids": [2, 5, 6, 7, 3], "word_ids": [-1, 0, 0, 1, -1]}]
    plain = [{"input_ids": [2, 5, 6, 7, 3], "word_ids": [None, 0, 0, 1, None]}]
    assert torch.equal(masked(told, unit="word")["input_ids"], masked(plain, unit="word")["input_ids"])
