"""The demo: a small comparison on the built-in corpus, at equal steps and at equal compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskwise.config import PretrainSettings, load_recipe, resolve
from maskwise.data.blocks import DataFolder, open_data
from maskwise.data.describe import describe
from maskwise.data.prepare import PrepareSettings, prepare
from maskwise.progress import printer
from maskwise.training.exam import exam_table
from maskwise.training.examine import examine
from maskwise.training.flops import Budget, forward_flops, run_flops, steps_for
from maskwise.training.pretrain import pretrain
from maskwise.training.runs import DONE

VOCABULARY = 4096
BATCH, TEACHER_STEPS, STEPS = 32, 400, 300
TEACHER = "teacher"


@dataclass(frozen=True)
class Run:
    """A run of the demo: its name is its folder's, and its row's in the table."""

    name: str
    recipe: str
    steps: int


def demo(out: Path) -> str:
    """Returns the exam table of random and self-entropy masking; what is finished in `out` is not done again."""
    tell = printer(True)
    if not (out / "data" / "manifest.json").exists():
        tell("1. prepare: the English prose of the Python documentation on this machine")
        prepare(PrepareSettings(sources=("python-docs",), out=out / "data", train_tokenizer=VOCABULARY))
    data = open_data(out / "data")
    tell(describe(data))
    teacher = Run(TEACHER, "bert", TEACHER_STEPS)
    random, by_self = Run("random", "random", STEPS), Run("entropy-self", "entropy-self", STEPS)
    longer = Run("random-equal-compute", "random", _steps_of_equal_compute(random, by_self, data, out))
    for number, run in enumerate((teacher, random, by_self, longer), start=2):
        if not (out / run.name / DONE).exists():
            tell(f"{number}. pretrain: {run.name}, a tiny model by the recipe {run.recipe}, {run.steps} steps")
            pretrain(_settings(run, data, out), out / run.name, resume=(out / run.name).exists())
    return _table((teacher, random, by_self, longer), data, out)


def _settings(run: Run, data: DataFolder, out: Path) -> PretrainSettings:
    trainer = {"max_steps": run.steps, "per_device_train_batch_size": BATCH, "eval_steps": 100, "save_steps": 100}
    own = {"recipe": run.recipe, "data": {"path": str(data.path)}, "model": {"preset": "tiny"}, "trainer": trainer}
    teacher = {} if run.name == TEACHER else {"teacher": str(out / TEACHER)}
    return resolve(load_recipe(run.recipe), own, teacher)


def _steps_of_equal_compute(cheap: Run, dear: Run, data: DataFolder, out: Path) -> int:
    """Returns for how many steps the cheaper run gets the counted operations of the dearer one."""
    block = data.manifest["block"]
    tiny = forward_flops("tiny", block, VOCABULARY)
    budget = Budget(dear.steps, len(data.train) // BATCH, BATCH * block, block)
    return steps_for(
        run_flops(_settings(dear, data, out), tiny, tiny, budget), _settings(cheap, data, out), tiny, tiny, budget
    )


def _table(runs: tuple[Run, ...], data: DataFolder, out: Path) -> str:
    report = examine([str(out / run.name) for run in runs], data.path)
    names = {str(out / run.name): f"{run.name}, {run.steps} steps" for run in runs}
    table = exam_table({names.get(name, name): result for name, result in report.results.items()})
    return (
        f"{table}\n"
        "Losses in nats on the frozen exam. Its masks are random, like those of random: it shows that training works,\n"
        "not which masking is better. That takes seeds and downstream tasks: maskwise study."
    )
