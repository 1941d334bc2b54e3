import json
import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from maskwise.errors import InputError
from maskwise.lab.tuning.load import encode_texts, load_with_head


def head(checkpoint, seed):
    return load_with_head(
        AutoModelForSequenceClassification, str(checkpoint), seed=seed, freeze=False, num_labels=2
    ).model.classifier.weight


def test_the_seed_draws_the_head_and_the_global_generator_stays(checkpoint):
    before = torch.random.get_rng_state()
    assert torch.equal(head(checkpoint, 1), head(checkpoint, 1))
    assert not torch.equal(head(checkpoint, 1), head(checkpoint, 2))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("pairs", [False, True])
def test_texts_that_are_cut_are_counted(tiny_tokenizer, pairs):
    short, exact, long = "the dog", "the dog a cat the sun", "the dog a cat the sun a tree"
    texts = [[short, exact, long]] if not pairs else [["a", "the dog a", "the dog a cat"], ["dog", "a sun", "a sun"]]
    examples, num_cut = encode_texts(tiny_tokenizer, texts, [0, 1, 1], max_length=8)
    lengths = [len(example["input_ids"]) for example in examples]
    assert lengths[1:] == [8, 8]
    assert lengths[0] < 8
    assert num_cut == 1
    assert [example["labels"] for example in examples] == [0, 1, 1]


def test_a_pair_is_one_sequence_of_two_segments(tiny_tokenizer):
    (example,), _ = encode_texts(tiny_tokenizer, [["the dog"], ["a cat"]], [0], max_length=16)
    tokens = tiny_tokenizer.convert_ids_to_tokens(example["input_ids"])
    assert " ".join(tokens) == "[CLS] the dog [SEP] a cat [SEP]"


def named(auto, checkpoint, names, *, seed=1, freeze=False):
    classes = {"num_labels": len(names), "id2label": dict(enumerate(names))}
    if auto is AutoModelForSequenceClassification:
        classes["problem_type"] = "single_label_classification"
    return load_with_head(auto, str(checkpoint), seed=seed, freeze=freeze, **classes)


@pytest.fixture(scope="module")
def classifier(checkpoint, tmp_path_factory):
    """A checkpoint that was tuned to three classes; its head is nothing that would be drawn."""
    folder = tmp_path_factory.mktemp("classifier")
    loaded = named(AutoModelForSequenceClassification, checkpoint, "abc")
    with torch.no_grad():
        loaded.model.classifier.weight.fill_(3.0)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("names", ["abc", "ABC"])
def test_a_checkpoint_tuned_to_the_same_classes_goes_on_from_its_head(classifier, names):
    loaded = named(AutoModelForSequenceClassification, classifier, names)
    assert (loaded.model.classifier.weight == 3).all()
    assert (loaded.new, loaded.head_note) == ([], "")
    with pytest.raises(InputError, match="give one from before fine-tuning"):
        named(AutoModelForSequenceClassification, classifier, names, freeze=True)


@pytest.mark.parametrize(
    ("auto", "names"),
    [
        (AutoModelForSequenceClassification, "ab"),
        (AutoModelForSequenceClassification, "abcd"),
        (AutoModelForSequenceClassification, "abx"),  # as many, but others
        (AutoModelForTokenClassification, "ab"),
        (AutoModelForTokenClassification, "abc"),
    ],
)
def test_a_checkpoint_tuned_to_other_classes_gets_a_new_head_and_keeps_its_body(classifier, auto, names):
    loaded, again, other = (named(auto, classifier, names, seed=seed) for seed in (1, 1, 2))
    weight = loaded.model.classifier.weight
    assert weight.shape[0] == len(names)
    assert weight.std() < 0.1 and not (weight == 3).any()
    assert torch.equal(weight, again.model.classifier.weight)
    assert not torch.equal(weight, other.model.classifier.weight)
    assert loaded.new == ["classifier.bias", "classifier.weight"]
    assert "was tuned before (BertForSequenceClassification, with the outputs a, b, c)" in loaded.head_note
    body = AutoModelForSequenceClassification.from_pretrained(classifier).bert.state_dict()
    assert all(torch.equal(body[name], value) for name, value in loaded.model.bert.state_dict().items())


def test_a_classifier_becomes_a_regression_with_a_new_head_alone_trained_if_frozen(classifier):
    options = {"num_labels": 1, "problem_type": "regression"}
    loaded = load_with_head(AutoModelForSequenceClassification, str(classifier), seed=0, freeze=True, **options)
    trained = [name for name, weight in loaded.model.named_parameters() if weight.requires_grad]
    assert sorted(trained) == loaded.new == ["classifier.bias", "classifier.weight"]


def test_a_checkpoint_before_tuning_has_no_note(checkpoint):
    loaded = named(AutoModelForSequenceClassification, checkpoint, "ab")
    assert loaded.head_note == ""
    assert "classifier.weight" in loaded.new and "bert.pooler.dense.weight" in loaded.new


def test_a_body_that_is_not_its_configurations_is_refused(classifier, tmp_path):
    """Sizes that do not match are let pass for the head, and a body must not be drawn anew for it."""
    folder = shutil.copytree(classifier, tmp_path / "edited")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(InputError, match=r"its weight bert\..* has the shape .*, and its config.json asks for"):
        named(AutoModelForSequenceClassification, folder, "abc")
