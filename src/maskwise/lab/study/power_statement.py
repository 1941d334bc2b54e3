"""What a study's number of seeds can find and what it cannot, in sentences."""

from __future__ import annotations

from maskwise.lab.stats.paired import sign_flip_floor
from maskwise.lab.stats.power import largest_sd_for_equivalence, smallest_effect
from maskwise.lab.study.study_file import Study


def statement(study: Study) -> list[str]:
    """Returns, in sentences, what this many seeds can find and what they cannot.

    >>> from maskwise.lab.study.study_file import check_study
    >>> arms = [{"name": "random"}, {"name": "bert"}]
    >>> rules = {"family": [["bert", "random"]], "margin": 0.01}
    >>> tree = {"seeds": "0-4", "tasks": ["cola"], "pretrain": {"data": {"path": "d"}}, "arms": arms}
    >>> study = check_study({**tree, "backbones": [{"name": "tiny", "preset": "tiny"}], "statistics": rules})
    >>> print(statement(study)[2])
    An exact test cannot reach .05 at 5 seeds: its floor is 0.0625. The verdict rests on the paired t test.
    """
    seeds, rules = len(study.seeds), study.statistics
    hypotheses = len(rules.family) * len(study.backbones) * len(study.tasks)
    alone, hardest = smallest_effect(seeds, rules.alpha), smallest_effect(seeds, rules.alpha / hypotheses)
    floor = sign_flip_floor(seeds)
    reach = "can" if floor <= rules.alpha else "cannot"
    alpha = f"{rules.alpha:g}".removeprefix("0")
    return [
        f"Family of {hypotheses} ({len(rules.family)} comparisons x {len(study.backbones)} backbones x "
        f"{len(study.tasks)} tasks), by {', '.join(f'{task} {study.metric(task)}' for task in study.tasks)}.",
        f"At {seeds} seeds, the smallest effect found with 80% power is {alone:.2f} standard deviations of a paired "
        f"difference, and {hardest:.2f} at the hardest step of Holm's procedure.",
        f"An exact test {reach} reach {alpha} at {seeds} seeds: its floor is {floor:.4g}."
        + (" The verdict rests on the paired t test." if reach == "cannot" else ""),
        f"Equivalent within {rules.margin:g} can be shown only where paired differences have a standard deviation "
        f"below {largest_sd_for_equivalence(seeds, rules.margin, rules.alpha):.2g}.",
    ]
