"""The sentence of a finding: what may be claimed, how large it is, and what weakens it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskwise.lab.reports.hypotheses import NO_VERDICT, Hypothesis
from maskwise.lab.reports.scores import BASELINES, is_adaptation
from maskwise.lab.stats.comparison import NO_REFERENCE
from maskwise.lab.stats.gain import share_in_words
from maskwise.lab.stats.sign_flip import sign_flip_floor
from maskwise.lab.stats.verdicts import MOST_COLLAPSED, NO_SIGNAL, SMALL, has_signal
from maskwise.lab.study.study_file import HELD_OUT, LESS_IS_BETTER, Study

NOT_DECLARED = "not declared"
DIFFERENT = ("better", SMALL, "worse")
FAVOURS_RANDOM = (
    "The held-out loss decides nothing: it is measured on randomly masked text, which is what random trains for, so it "
    "favours random."
)
NEEDS_NO_MODEL = ("word_list", "bm25", "unigram_floor")  # baselines that are no bar of the gate


def sentence(one: Hypothesis, study: Study) -> str:
    """Returns a comparison in words; of a task it ends with whether a model without pretraining was run."""
    parts = [_claim(one, study), *_cautions(one, study)] if len(one.differences) > 1 else [_too_few(one, study)]
    if one.task != HELD_OUT and one.reference is None:
        parts.append(NO_REFERENCE)
    return " ".join(parts)


def _too_few(one: Hypothesis, study: Study) -> str:
    measured = f"{len(one.differences)} of {len(study.seeds)} pairs of seeds measured."
    return f"{one.ours} against {one.theirs} {_where(one)}: {measured}"


def _where(one: Hypothesis) -> str:
    return f"on {'the held-out loss' if one.task == HELD_OUT else one.task}, {one.backbone}"


def _claim(one: Hypothesis, study: Study) -> str:
    pair = f"{one.ours} and {one.theirs}"
    claim = {
        "better": f"{one.ours} did better than {one.theirs}",
        SMALL: f"{one.ours} did better than {one.theirs}, by less than the margin of {study.statistics.margin},",
        "worse": f"{one.ours} did worse than {one.theirs}",
        "equivalent": f"{pair} are within {study.statistics.margin} of each other",
        "inconclusive": f"Neither a difference nor equality of {pair} is shown",
        NO_SIGNAL: f"Nothing can be concluded about {pair}",
        NOT_DECLARED: f"{one.ours} against {one.theirs} was not declared, so it is a lead and no finding,",
        NO_VERDICT: f"{one.ours} against {one.theirs}",
    }[one.verdict]
    return f"{claim} {_where(one)}: {_size(one, study)}"


def _size(one: Hypothesis, study: Study) -> str:
    level = f"{1 - study.statistics.alpha:.0%}"
    turned = " (less is better, sign turned)" if one.metric in LESS_IS_BETTER else ""
    size = f"{one.metric.replace('_', ' ')}{turned} {one.mean:+.4f}, {level} interval {one.low:+.4f} to {one.high:+.4f}"
    share = ""
    if one.share is not None and one.verdict not in (NO_SIGNAL, NO_VERDICT):
        share = f"; of pretraining's gain {share_in_words(one.share)}"
    return f"{size}, {len(one.differences)} seeds{share}."


def _cautions(one: Hypothesis, study: Study) -> Iterator[str]:
    """Yields what weakens a comparison, in sentences."""
    if one.task == HELD_OUT:
        yield FAVOURS_RANDOM
        return
    if one.verdict == NO_SIGNAL:
        yield f"{_without_signal(one, one.baseline, study)}: the task cannot tell kinds of pretraining apart."
    yield from _disagreements(one, study.statistics.alpha)
    yield from _of_the_arms(one, study)
    if one.verdict == "worse" and one.p_equivalence <= study.statistics.alpha:
        yield f"The difference is smaller than the margin of {study.statistics.margin}."
    if len(one.differences) < len(study.seeds):
        yield f"{len(study.seeds) - len(one.differences)} of {len(study.seeds)} pairs of seeds are missing."
    if one.reference is not None and one.awaits_reference:
        yield f"The models without pretraining are measured at {len(one.reference.by_seed)} seeds so far."
    if one.caution:
        yield one.caution


def _without_signal(one: Hypothesis, arm: str, study: Study) -> str:
    """Returns why an arm has not passed the gate."""
    scores, alpha, reasons = one.scores[arm], study.statistics.alpha, []
    if one.reference is not None and not is_adaptation(study, one.backbone):
        seeds = [seed for seed in scores.by_seed if seed in one.reference.by_seed]
        if len(seeds) > 1 and not has_signal(scores.at(seeds), one.reference.at(seeds), alpha=alpha):
            reasons.append(f"not shown to be above the model without pretraining ({_mean(one.reference.mean)})")
    if scores.constant is not None and not has_signal(scores.at(list(scores.by_seed)), None, scores.constant):
        reasons.append(f"not shown to be above the constant answer ({_mean(scores.constant)})")
    parts = [f"is {' nor '.join(reasons).replace(' nor not shown', ' nor')}"] if reasons else []
    if scores.num_collapsed > MOST_COLLAPSED:
        parts.append(f"has {scores.num_collapsed} of {scores.num_runs} runs that collapsed")
    return f"{arm} ({_mean(scores.mean)}) {' and '.join(parts)}"


def _disagreements(one: Hypothesis, alpha: float) -> Iterator[str]:
    """Yields where other tests say something else than the paired t test, all Holm-adjusted over the family."""
    if one.verdict in (NO_SIGNAL, NOT_DECLARED):
        return
    floor = sign_flip_floor(len(one.differences))
    if one.verdict in DIFFERENT and one.p_exact_holm > alpha:
        lowest = min(1.0, floor * one.num_hypotheses)
        cannot = (
            f"; with {len(one.differences)} seeds and a family of {one.num_hypotheses} it cannot be below {lowest:.3g}"
        )
        figures = f"p = {one.p_exact:.3g}, {one.p_exact_holm:.3g} by Holm"
        yield f"The exact test does not confirm it ({figures}{cannot if lowest > alpha else ''})."
    if one.verdict not in DIFFERENT and one.p_exact_holm <= alpha:
        yield f"The exact test alone finds a difference (p = {one.p_exact_holm:.3g} by Holm)."
    if one.verdict in DIFFERENT:
        edges = (("t interval", one.items), ("bootstrap", one.bootstrap))
        ranges = [
            f"from {found.low:+.4f} to {found.high:+.4f} by the {name}"
            for name, found in edges
            if found is not None and found.low <= 0 <= found.high
        ]
        if ranges:
            over = "over seeds and items together the difference runs"
            yield f"It may be due to the held-out items: {over} {' and '.join(ranges)}."
    elif one.bootstrap is not None and one.p_bootstrap_holm <= alpha:
        yield f"The bootstrap alone finds a difference (p = {one.p_bootstrap_holm:.3g} by Holm)."


def _of_the_arms(one: Hypothesis, study: Study) -> Iterator[str]:
    silent = [arm for arm in one.arms if not one.has_signal[arm]] if one.verdict != NO_SIGNAL else []
    for arm in silent:
        yield f"{_without_signal(one, arm, study)}."
    for name in NEEDS_NO_MODEL:
        below = [arm for arm, scores in one.arms.items() if scores.mean < scores.baselines.get(name, -np.inf)]
        if below:
            bar = one.scores[below[0]].baselines[name]
            verb = "is" if len(below) == 1 else "are"
            yield f"{' and '.join(below)} {verb} below the {BASELINES[name]} ({_mean(bar)}), which needs no model."
    for what, counts in (
        ("Collapsed runs, which give one answer to everything",
         {arm: scores.num_collapsed for arm, scores in one.arms.items()}),
        ("Seeds with the same scores to the last digit, perhaps copies of one run",
         {arm: scores.num_copies for arm, scores in one.arms.items()}),
    ):  # fmt: skip
        named = " and ".join(f"{number} of {arm}" for arm, number in counts.items() if number)
        if named:
            yield f"{what}: {named}."


def _mean(value: float) -> str:
    return f"{value:.4f}"
