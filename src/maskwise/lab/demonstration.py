"""The demo: the whole story on the built-in corpus, from text to a report, at a scale that proves nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from maskwise.lab.config import resolve
from maskwise.lab.package_task import write_package_task
from maskwise.lab.pretraining.pretrain import pretrain
from maskwise.lab.records.run_folder import DONE
from maskwise.lab.reports.assemble import Report, assemble
from maskwise.lab.reports.files import write_report
from maskwise.lab.reports.scores import BASELINES
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.runner import run_study
from maskwise.lab.study.study_file import HELD_OUT, Study, check_study
from maskwise.lab.tasks.table import PACKAGE
from maskwise.lab.text.sources import BUILT_IN
from maskwise.lab.tokens.blocks import MANIFEST, open_data
from maskwise.lab.tokens.describe import describe
from maskwise.lab.tokens.prepare import PrepareSettings, prepare
from maskwise.progress import printer, silent_if_not_shown
from maskwise.recipes import load_recipe

QUESTION = "Does it matter which tokens a tiny model masks?"
CAUTION = (
    "Three tiny seeds prove nothing: no exact test can reach .05 with fewer than six, and what a tiny model learns\n"
    "in a minute says little of a large one. The held-out masks are random, as those of random: the loss shows\n"
    "that training works. For answers: maskwise study."
)
_COLUMNS = (
    Column("model"), Column("loss", "evaluation, nats", "number"), Column("top1", "evaluation, top-1", "share"),
    Column("accuracy", "package, accuracy", "share"),
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large the demo is; its default is for two cores and eight minutes."""

    vocabulary: int = 4096
    batch: int = 32
    teacher_steps: int = 250
    steps: int = 125
    seeds: tuple[int, ...] = (0, 1, 2)
    classes: int = 8
    train: int = 200  # texts of each package
    held_out: int = 60
    held_out_blocks: int = 256
    epochs: int = 4  # of tuning


@silent_if_not_shown
def demo(out: str | Path = "demo-out", *, jobs: int = 2, size: Size = Size(), show: bool = True) -> str:
    """Runs all of it, small, on the built-in corpus: text, models, a study, its report. Needs no network.

    Args:
        out: Where the folders go; what is finished in it is not done again.
        jobs: Models at a time; the processor's threads are split among them.
        size: How large it is; the default takes seven minutes on two cores.
        show: Whether to show what is done.

    Returns:
        What came out, as text. The page is `out/report.html`.

    Raises:
        InputError: If a part of the study failed to start.

    Example:
        ```python
        from maskwise.lab import demo

        print(demo("demo-out"))
        ```
    """
    out, tell = Path(out).resolve(), printer(show)
    corpus = PrepareSettings(sources=(BUILT_IN,), out=out / "data", train_tokenizer=size.vocabulary)
    if not (corpus.out / MANIFEST).exists():
        tell("1. prepare: the English prose of the Python documentation on this machine")
        prepare(corpus, show=show)
    tell(describe(open_data(corpus.out)))
    task = out / "tasks" / PACKAGE.name
    if not task.exists():
        tell(f"2. a task: which of {size.classes} packages is a docstring from?")
        write_package_task(corpus, task, classes=size.classes, train=size.train, held_out=size.held_out)
    teacher = out / "teacher"
    if not (teacher / DONE).exists():
        tell(f"3. pretrain: a teacher, tiny, by the recipe bert, {size.teacher_steps} steps")
        settings = {"recipe": "bert", "model": {"preset": "tiny"}, **_pretraining(out, size, size.teacher_steps)}
        pretrain(resolve(load_recipe("bert"), settings), teacher, resume=teacher.exists(), show=show)
    tell(f"4. study: three ways of masking, {len(size.seeds)} seeds, {size.steps} steps each; random again with")
    tell("   as many operations as entropy-self; all tuned on the task")
    result = run_study(_study(out, size), out / "study", jobs=jobs, show=show)
    if result.failed:
        return result.summary()
    found = assemble(out / "study")
    page, *_ = write_report(found, out / "report.html")
    table = Table("demo", "", _COLUMNS, tuple(_rows(found, out))).markdown()
    return f"{table}\n\n{found}\n\n{CAUTION}\n\nThe page: {page}"


def _pretraining(out: Path, size: Size, steps: int) -> dict[str, Any]:
    trainer = {"max_steps": steps, "per_device_train_batch_size": size.batch, "eval_steps": 0.25, "save_steps": 0.25}
    return {"data": {"path": str(out / "data"), "held_out_blocks": size.held_out_blocks}, "trainer": trainer}


def _study(out: Path, size: Size) -> Study:
    return check_study(
        {
            "question": QUESTION,
            "seeds": size.seeds,
            "tasks": [PACKAGE.name],
            "task_data": str(out / "tasks"),
            "pretrain": _pretraining(out, size, size.steps),
            "tune": {"max_epochs": size.epochs, "batch_size": 32, "learning_rate": 1e-3, "max_length": 64},
            "backbones": [{"name": "tiny", "preset": "tiny", "settings": {"teacher": str(out / "teacher")}}],
            "arms": [
                {"name": "random"},
                {"name": "entropy-self"},
                {"name": "random-equal-flops", "recipe": "random", "equal": "compute", "equal_to": "entropy-self"},
                {"name": "typhoon"},
            ],
            "statistics": {
                "family": [["entropy-self", "random"], ["entropy-self", "random-equal-flops"], ["typhoon", "random"]],
                "margin": 0.01,
                "metrics": {PACKAGE.name: "accuracy"},
            },
        }
    )


def _rows(report: Report, out: Path) -> Iterator[dict[str, Any]]:
    """Yields what knows frequencies only, what reads nothing, the teacher, and the mean of every arm."""
    done = json.loads((out / "teacher" / DONE).read_text(encoding="utf-8"))["held_out"]
    yield {"model": "word frequencies alone", **done["unigram floor"]}
    means = {(one.arm, one.task, one.metric): fmean(one.by_seed.values()) for one in report.scores}
    constant = next(one.constant for one in report.scores if (one.task, one.metric) == (PACKAGE.name, "accuracy"))
    yield {"model": BASELINES["constant"], "accuracy": constant}
    yield {"model": "the teacher", **done["bert"]}
    for arm in report.study.arms:
        held_out = {metric: means[arm.name, HELD_OUT, metric] for metric in ("loss", "top1")}
        yield {"model": arm.name, **held_out, "accuracy": means[arm.name, PACKAGE.name, "accuracy"]}
