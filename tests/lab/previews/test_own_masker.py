"""A preview of a recipe or of one's own score shows what its masker picks."""

import pytest
import torch

from maskwise.errors import InputError
from maskwise.lab.previews.example import preview
from maskwise.lab.previews.page import preview_page
from maskwise.lab.previews.terminal import terminal_view
from maskwise.masking.masker import Masker
from maskwise.scores.model import Entropy

TEXT = "the old girl was playing by the sea in the garden"


def longest(batch):
    """Later positions are worth more: what is masked is known beforehand."""
    return torch.arange(batch["input_ids"].shape[1], dtype=torch.float32).expand(batch["input_ids"].shape)


def constant(batch, value):
    return torch.full(batch["input_ids"].shape, value)


def test_a_recipe_is_shown_as_its_masker_picks(checkpoint, tiny_model, tiny_tokenizer):
    shown = preview(TEXT, checkpoint, recipe="entropy-high")
    (window,) = shown.windows
    assert shown.strategies[-1] == shown.own == "entropy-high"
    assert torch.equal(window.picks["entropy-high"], window.picks["high"])
    whole = preview(TEXT, checkpoint, recipe="whole-word", rate=0.3)
    (window,) = whole.windows
    encoding = tiny_tokenizer(TEXT, return_tensors="pt")
    words = torch.tensor([[-1 if word is None else word for word in encoding.word_ids()]])
    batch = {"input_ids": encoding["input_ids"], "word_ids": words}
    masker = Masker.from_recipe("whole-word", tiny_tokenizer, rate=0.3)
    picked_1T, _ = masker.choose(masker.prepare(batch), masker.scores(masker.prepare(batch)))
    assert torch.equal(window.picks["whole-word"], picked_1T[0, 1:-1])


def test_the_rate_is_that_of_the_recipe(checkpoint):
    assert preview(TEXT, checkpoint, recipe="typhoon-2023-random").rate == 0.3
    assert preview(TEXT, checkpoint, recipe="bert").rate == 0.15
    assert preview(TEXT, checkpoint, recipe="bert", rate=0.5).rate == 0.5


def test_the_recipe_random_does_not_hide_the_strategy_random(checkpoint):
    shown = preview(TEXT, checkpoint, recipe="random")
    assert shown.strategies[-2:] == ("random", "recipe random")


@pytest.mark.parametrize("score", [Entropy, Entropy()], ids=["class", "object"])
def test_a_score_by_the_model_itself_is_bound(checkpoint, score):
    (window,) = preview(TEXT, checkpoint, score=score).windows
    assert torch.equal(window.picks["Entropy"], window.picks["high"])


def test_ones_own_function_is_shown_everywhere(checkpoint):
    shown = preview(TEXT, checkpoint, score=longest)
    assert shown.windows[0].picks["longest"].any()
    assert "\nlongest" in terminal_view(shown, 100, coloured=False).plain
    page = preview_page(shown)
    assert '"own":"longest"' in page
    assert "longest is shown at 0.15 alone" in page


def test_a_score_by_its_path_and_a_recipe_by_its_file_are_shown_by_the_command(checkpoint, tmp_path, run_maskwise):
    (tmp_path / "mine.py").write_text("def later(batch):\n    return batch['input_ids'].float()\n")
    (tmp_path / "mine.toml").write_text('description = "mine"\n[masking]\nunit = "word"\nrate = 0.5\n')
    by_score = run_maskwise(["preview", TEXT, "--model", checkpoint, "--score", f"{tmp_path / 'mine.py'}:later"])
    assert "\nlater" in by_score.stdout
    by_recipe = run_maskwise(["preview", TEXT, "--model", checkpoint, "--recipe", tmp_path / "mine.toml"])
    assert "\nmine " in by_recipe.stdout and "0.5 of the tokens: 6 of 12" in by_recipe.stdout
    assert 'unit = "word"' in run_maskwise(["recipes", tmp_path / "mine.toml"]).stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recipe": "entropy-hihg"}, "entropy-high"),
        ({"recipe": "random", "score": longest}, "not both"),
        ({"score": "nowhere:score"}, "nowhere"),
        ({"score": constant}, "value"),
        ({"score_arguments": {"power": 2}}, "need the score"),
        ({"recipe": "typhoon"}, "token_counts"),
        ({"score": 3}, "not a score"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_shown_is_refused(checkpoint, given, message):
    with pytest.raises(InputError, match=message):
        preview(TEXT, checkpoint, **given)
