"""Reading times: fits against scikit-learn, and noise that must not be called a finding."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from maskwise.errors import InputError
from maskwise.evaluation.surprisal import word_surprisal
from maskwise.lab.evaluation import reading_data as data
from maskwise.lab.evaluation.intervals import resampled
from maskwise.lab.evaluation.reading_fits import (
    design,
    folds_of_sentences,
    held_out_gains,
    partial_r2,
    permuted_within,
)
from maskwise.lab.evaluation.reading_times import evaluate_reading, fit_reading, over_sentences

BASE = [data.FREQUENCY, data.LENGTH, data.CONTEXT_LENGTH]
SPILLING = [*BASE, data.PREVIOUS_LENGTH, "prev_pred"]


def made_up_words(seed=0, num_sentences=205, effect=0.0):
    """Words whose times depend on frequency, length and place, and on a surprisal by `effect` of its deviation."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(4, 14, size=num_sentences)
    number = sizes.sum()
    frame = pd.DataFrame(
        {
            data.SENTENCE: np.repeat(np.arange(num_sentences), sizes),
            data.FREQUENCY: rng.normal(10, 3, number),
            data.LENGTH: rng.integers(1, 12, number).astype(float),
            data.CONTEXT_LENGTH: np.concatenate([np.arange(1, size + 1) for size in sizes]).astype(float),
            data.PREVIOUS_LENGTH: rng.integers(1, 12, number).astype(float),
            "pred": rng.gamma(2, 3, number),
            "prev_pred": rng.gamma(2, 3, number),
            "unigram": np.nan,
        }
    )
    expected = 200 - 5 * frame[data.FREQUENCY] + 8 * frame[data.LENGTH] + frame[data.FREQUENCY] * frame[data.LENGTH]
    between = np.repeat(rng.normal(0, 10, num_sentences), sizes)
    for name in (*data.EYE_TRACKING, data.SELF_PACED):
        noise = rng.normal(0, 40, number)
        frame[name] = expected + between + noise + effect * 40 * (frame["pred"] - 6) / np.sqrt(18)
    return frame


def with_products(frame, columns):
    products = [frame[a] * frame[b] for a, b in combinations(columns, 2)]
    return np.column_stack([frame[columns].to_numpy(), *products])


def test_the_number_of_babylm_is_that_of_its_regressions():
    """R2 of least squares with all main effects and two-way products, by another library."""
    words = made_up_words(effect=0.3)
    words.loc[3:9, data.FREQUENCY] = np.nan
    eye, paced = fit_reading(words, num_permutations=5)
    for one, columns, times in ((eye, BASE, data.EYE_TRACKING), (paced, SPILLING, [data.SELF_PACED])):
        whole, expected = words.dropna(subset=[*columns, "pred", *times]), []
        x = with_products(whole, list(columns))
        for name in times:
            y = whole[name]
            base = LinearRegression().fit(x, y).score(x, y)
            more = np.column_stack([x, whole["pred"]])
            full = LinearRegression().fit(more, y).score(more, y)
            expected.append(100 * (full - base) / (1 - base))
        assert one.words == len(whole) == len(words) - 7
        assert one.partial_r2 == pytest.approx(np.mean(expected), rel=1e-6)


def test_held_out_gains_are_those_of_fits_by_another_library():
    words = made_up_words(effect=0.2)
    base = design(words[BASE].to_numpy())
    times, folds = words[list(data.EYE_TRACKING)].to_numpy(), folds_of_sentences(words[data.SENTENCE].to_numpy(), 0)
    found = held_out_gains(base, words[["pred", "prev_pred"]].to_numpy(), times, folds)
    for column, predictor in enumerate(("pred", "prev_pred")):
        expected = np.zeros(len(words))
        for fold in range(10):
            seen, out = folds != fold, folds == fold
            for y in times.T:
                for x, sign in ((np.column_stack([base, words[predictor]]), 1), (base, -1)):
                    fit = LinearRegression().fit(x[seen], y[seen])
                    variance = ((y[seen] - fit.predict(x[seen])) ** 2).sum() / (seen.sum() - x.shape[1])
                    error = y[out] - fit.predict(x[out])
                    expected[out] -= sign * 0.5 * (np.log(2 * np.pi * variance) + error**2 / variance) / 4
        assert np.abs(found[:, column] - expected).max() < 1e-8


def test_a_predictor_that_the_base_has_already_gains_nothing():
    words = made_up_words()
    base, times = design(words[BASE].to_numpy()), words[list(data.EYE_TRACKING)].to_numpy()
    folds = folds_of_sentences(words[data.SENTENCE].to_numpy(), 0)
    constant = np.ones((len(words), 1))
    assert np.abs(held_out_gains(base, constant, times, folds)).max() < 0.01
    assert abs(partial_r2(base, constant, times)[0]) < 1e-6


def test_noise_is_not_called_a_finding_though_the_gain_in_the_sample_never_is_negative():
    """60 surprisals of pure noise: a bootstrap of the gain in the sample finds something in every one of them."""
    found = in_sample = 0
    for seed in range(60):
        words = made_up_words(seed)
        sentences = words[data.SENTENCE].to_numpy()
        base, times = design(words[BASE].to_numpy()), words[list(data.EYE_TRACKING)].to_numpy()
        values = words[["pred"]].to_numpy()
        gains = held_out_gains(base, values, times, folds_of_sentences(sentences, 0))[:, 0]
        found += over_sentences(gains, sentences).low > 0
        rows = pd.Series(np.arange(len(words))).groupby(sentences).apply(np.array)
        drawn = resampled(
            lambda chosen, b=base, v=values, t=times, r=rows: in_the_sample(
                b, v, t, np.concatenate(r.to_numpy()[chosen])
            ),
            205,
            num_draws=40,
        )
        in_sample += drawn.low > 0
    assert in_sample == 60
    assert found <= 4, "2.5% of 60 is 1.5"


def in_the_sample(base, values, times, chosen):
    return partial_r2(base[chosen], values[chosen], times[chosen])[0]


def test_an_effect_is_found_and_its_permutation_is_not():
    words = made_up_words(effect=0.3)
    for one in fit_reading(words, num_permutations=100):
        assert one.is_finding
        assert one.p == pytest.approx(1 / 101)
        assert one.gain.low > one.gain_permuted[1]
        assert one.partial_r2 > one.partial_r2_permuted[1]
        assert one.gain_permuted[0] < 0.1 * one.gain.value, "what is left is the mean of a sentence's surprisals"
    rng = np.random.default_rng(3)
    words["pred"] = words["pred"].to_numpy()[permuted_within(words[data.SENTENCE].to_numpy(), rng)]
    assert not any(one.is_finding for one in fit_reading(words, num_permutations=100))


def test_folds_keep_sentences_whole_and_permutations_stay_in_them():
    sentences = made_up_words()[data.SENTENCE].to_numpy()
    folds = folds_of_sentences(sentences, seed=1)
    assert all(len(set(folds[sentences == sentence])) == 1 for sentence in set(sentences))
    sizes = np.bincount([folds[sentences == sentence][0] for sentence in range(205)])
    assert sizes.max() - sizes.min() <= 1
    shuffled = np.random.default_rng(0).permutation(sentences)
    places = permuted_within(shuffled, np.random.default_rng(0))
    assert sorted(places) == list(range(len(shuffled)))
    assert (shuffled[places] == shuffled).all()
    assert (places != np.arange(len(shuffled))).mean() > 0.5


SENTENCES = ["None of the old cats was in his garden", "she walks with a big dog", "the tree is green"]


def reading_file(path, sentences=SENTENCES, **changes):
    """A file in BabyLM's format: the context "None" of its first sentence is lost, as it is there."""
    rows, rng = [], np.random.default_rng(0)
    for number, sentence in enumerate(sentences):
        words = sentence.split()
        for place in range(1, len(words)):
            row = {
                "item": " ".join(words[:place]), "word": words[place], "sentence": sentence,
                "prev_item": " ".join(words[: place - 1]), "prev_word": words[place - 1] if place > 1 else "",
                "sent_id": number, "context_length": place, "length": len(words[place]),
                "prev_length": len(words[place - 1]), "Subtlex_log10": "" if place == 2 else rng.normal(10, 2),
            }  # fmt: skip
            row |= {name: rng.normal(200, 30) for name in (*data.EYE_TRACKING, data.SELF_PACED)}
            row = {key: "" if value == "None" else value for key, value in row.items()}
            rows.append(row | changes)
    pd.DataFrame(rows).to_csv(path)
    return path


def test_a_file_is_read_with_what_it_lost(tmp_path):
    words = data.read_reading_times(reading_file(tmp_path / "reading.csv"))
    assert words["item"][0] == "None"
    assert words["word"][:2].tolist() == ["of", "the"]
    assert words["prev_item"][:3].tolist() == ["", "", "None of"]
    assert np.isnan(words[data.FREQUENCY]).sum() == 3
    assert words[data.LENGTH][0] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"RTgopast": "slow"}, "line 2: 'RTgopast' is not a number: 'slow'"), ({"length": "x"}, "'length'")],
)
def test_values_that_are_no_numbers_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        data.read_reading_times(reading_file(tmp_path / "reading.csv", **changes))


def test_a_file_without_its_columns_is_refused(tmp_path):
    path = reading_file(tmp_path / "reading.csv")
    path.write_text(path.read_text().replace("RTfirstfix", "first"))
    with pytest.raises(InputError, match=r"no column 'RTfirstfix'; found: .*first"):
        data.read_reading_times(path)
    with pytest.raises(InputError, match="not a readable CSV"):
        data.read_reading_times(tmp_path / "nowhere.csv")


def test_a_few_sentences_are_refused(tmp_path, tiny_model, tiny_tokenizer):
    with pytest.raises(InputError, match=r"3 sentences have eye tracking times .* at least 20"):
        evaluate_reading(tiny_model, reading_file(tmp_path / "a.csv"), tokenizer=tiny_tokenizer, show=False)


def test_a_model_is_evaluated_by_its_surprisals(tmp_path, tiny_model, tiny_tokenizer):
    path = reading_file(tmp_path / "reading.csv", SENTENCES * 12)
    counts = np.arange(len(tiny_tokenizer))
    result = evaluate_reading(
        tiny_model, path, tokenizer=tiny_tokenizer, token_counts=counts, num_permutations=20, show=False
    )
    words = result.items
    expected = word_surprisal(tiny_model, tiny_tokenizer, ["None of the"], ["old"])[0]
    assert words["pred"][2] == pytest.approx(expected, abs=1e-5)
    assert words["prev_pred"][3] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(words["prev_pred"][:2]).all()
    assert np.isfinite(words["unigram"]).all()
    eye, paced = result.measured
    assert (eye.sentences, eye.words) == (36, 12 * (8 + 5 + 3 - 3))
    assert np.isfinite([eye.gain_unigram, eye.partial_r2_unigram]).all()
    assert "eye tracking" in repr(result)
    kept = json.loads(result.as_json())["measured"]["self-paced"]
    assert kept["gain"]["value"] == paced.gain.value
    assert kept["is_finding"] == paced.is_finding


@pytest.mark.data
def test_the_real_file_has_205_sentences_and_30_missing_frequencies(data_root):
    words = data.read_reading_times(data_root / "zero_shot" / "babylm_fast" / "reading" / "reading_data.csv")
    assert (len(words), words[data.SENTENCE].nunique()) == (1726, 205)
    assert np.isnan(words[data.FREQUENCY]).sum() == 30
    assert (words["prev_item"] == "").sum() == 205
    assert words["item"][words["sentence"] == "None of the city people dress like that."].str.startswith("None").all()
    lengths = np.array([len(item.split()) for item in words["item"]])
    assert (lengths == words[data.CONTEXT_LENGTH]).all()
