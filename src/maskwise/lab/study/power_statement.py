"""What a study's number of seeds can find and what it cannot, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from maskwise.lab.stats.power import POWER, largest_sd_for_equivalence, power, sd_upper_limit, smallest_effect
from maskwise.lab.stats.sign_flip import sign_flip_floor
from maskwise.lab.study.study_file import HELD_OUT, LESS_IS_BETTER, Study

REPLICATION = (
    "The unit of replication is the pretraining seed: initial weights, order of the data, noise, and the seed's "
    "teacher. Tokenizer, text and splits are fixed, so nothing here is shown of others."
)


def power_statement(study: Study) -> list[str]:
    """Returns, in sentences, what this many seeds can find and what they cannot.

    >>> from maskwise.lab.study.study_file import check_study
    >>> arms = [{"name": "random"}, {"name": "bert"}]
    >>> rules = {"family": [["bert", "random"]], "margin": 0.01}
    >>> tree = {"seeds": "0-4", "tasks": ["cola"], "pretrain": {"data": {"path": "d"}}, "arms": arms}
    >>> study = check_study({**tree, "backbones": [{"name": "tiny", "preset": "tiny"}], "statistics": rules})
    >>> print(power_statement(study)[2])
    An exact test cannot reach .05 at 5 seeds: its floor is 0.0625. The verdict rests on the paired t test.
    """
    tasks = [task for task in study.tasks if task != HELD_OUT]
    rules, seeds = study.statistics, len(study.seeds)
    hypotheses = len(rules.family) * len(study.backbones) * len(tasks)
    if not hypotheses:
        return [
            "Without a task there is no verdict: the held-out loss is measured on randomly masked text, and favours "
            "random.", REPLICATION,
        ]  # fmt: skip
    hardest = rules.alpha / hypotheses
    return [
        f"Family of {hypotheses} ({len(rules.family)} comparisons x {len(study.backbones)} backbones x "
        f"{len(tasks)} tasks), by {', '.join(f'{task} {study.metric(task)}' for task in tasks)}.",
        f"At {seeds} seeds, the smallest effect found with {POWER:.0%} power is "
        f"{smallest_effect(seeds, rules.alpha):.2f} standard deviations of a paired difference, and "
        f"{smallest_effect(seeds, hardest):.2f} at the hardest step of Holm's procedure.",
        _exact(seeds, hypotheses, rules.alpha),
        f"Two arms without a difference are called equivalent with {POWER:.0%} power if the standard deviation of "
        f"their paired differences is at most {largest_sd_for_equivalence(seeds, rules.alpha):.2f} margins, and "
        f"{largest_sd_for_equivalence(seeds, hardest):.2f} at the hardest step. The margin is {rules.margin}.",
        *(line for task in tasks for line in _expected(study, task, seeds, hardest)),
        REPLICATION,
    ]


def _exact(seeds: int, hypotheses: int, alpha: float) -> str:
    floor, level = sign_flip_floor(seeds), f"{alpha:g}".removeprefix("0")
    if floor > alpha:
        return (
            f"An exact test cannot reach {level} at {seeds} seeds: its floor is {floor:.4g}. The verdict rests on the "
            "paired t test."
        )
    adjusted = min(1.0, floor * hypotheses)
    reach = "can" if adjusted <= alpha else "cannot"
    return (
        f"An exact test can reach {level} at {seeds} seeds: its floor is {floor:.4g}. Adjusted over the family the "
        f"floor is {adjusted:.4g}, so an exact test {reach} confirm a verdict."
    )


def _expected(study: Study, task: str, seeds: int, hardest: float) -> Iterator[str]:
    """Yields what the sd of a pilot lets expect on a task: power at the margin, both ways."""
    rules = study.statistics
    sd = rules.expected_sd.get(task)
    if sd is None:
        return
    limit, margin = sd_upper_limit(sd, rules.num_pilot_seeds), rules.margin_on(task)
    is_share = study.metric(task) not in LESS_IS_BETTER

    def size(value: float) -> str:
        return f"{value:.3g}" + (f" ({100 * value:.3g} points)" if is_share else "")

    yield (
        f"{task}: a pilot of {rules.num_pilot_seeds} seeds had a standard deviation of {size(sd)}; plans use its 80% "
        f"upper limit, {size(limit)}. With that, {POWER:.0%} power needs a difference of "
        f"{size(limit * smallest_effect(seeds, hardest))} at the hardest step."
    )
    if margin is None:
        yield f"{task}: how large {rules.margin} is depends on the gain; statistics.expected_gain says what to expect."
        return
    found, reach = power(margin / limit, seeds, hardest), largest_sd_for_equivalence(seeds, rules.alpha)
    yield (
        f"{task}: a difference as large as the margin, {size(margin)}, is found with {found:.0%} power at the hardest "
        f"step; equal arms vary by {limit / margin:.2f} margins, where {reach:.2f} may be called equivalent."
    )
    if found < POWER:
        yield f"{task}: this study cannot find an effect as large as its margin."
