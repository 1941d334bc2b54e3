"""What a study is made of, from its file alone: known without data, tasks or models."""

from __future__ import annotations

from maskwise.lab.study.layout import pretraining_keys
from maskwise.lab.study.study_file import Study


def outline(study: Study) -> list[str]:
    """Returns the question, and how many runs there are of what."""
    factors = (
        f"{len(study.arms)} arms x {len(study.backbones)} backbones x {len(study.seeds)} seeds x "
        f"{max(len(study.graded_tasks), 1)} tasks{_tuning_seeds(study)}"
    )
    runs = f"{num_runs(study)} runs: {factors}; {len(pretraining_keys(study))} models are pretrained."
    return [*([study.question] if study.question else []), runs, *_code_that_runs(study)]


def num_runs(study: Study) -> int:
    """Returns how many scores each metric gets: one per arm, backbone, seed, task and tuning seed."""
    graded = sum(len(study.tuning_seeds_of(task)) for task in study.tuned_tasks) + len(study.zero_shot_tasks)
    return len(study.arms) * len(study.backbones) * len(study.seeds) * max(graded, 1)


def _code_that_runs(study: Study) -> list[str]:
    """Returns a line with the scores and units that are not the package's own, if an arm names one."""
    data = "task" if study.adapt else None
    arms = [study.settings(arm, study.backbones[0], study.seeds[0], data).masking for arm in study.arms]
    texts = dict.fromkeys(text for masking in arms for text in (masking.score, masking.unit) if isinstance(text, str))
    named = [text for text in texts if ":" in text and not text.startswith("maskwise.")]
    return [f"Code of others that is imported and run: {', '.join(named)}."] if named else []


def _tuning_seeds(study: Study) -> str:
    numbers = {task: len(study.tuning_seeds_of(task)) for task in study.tuned_tasks}
    if len(set(numbers.values())) == 1:
        return f" x {next(iter(numbers.values()))} tuning seeds"
    return "".join(f"; {number} tuning seeds of {task}" for task, number in numbers.items())
