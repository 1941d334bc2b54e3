"""The demo: all of the package, small, on the built-in corpus."""

from __future__ import annotations

from pathlib import Path

from maskwise.config import load_recipe, resolve
from maskwise.data.blocks import open_data
from maskwise.data.describe import describe
from maskwise.data.prepare import PrepareSettings, prepare
from maskwise.progress import printer
from maskwise.training.exam import exam_table
from maskwise.training.pretrain import pretrain
from maskwise.training.runs import DONE

DEMO_VOCABULARY = 4096
DEMO_STEPS = 400
DEMO_BATCH = 32
DEMO_RECIPES = ("bert", "whole-word")


def demo(out: Path) -> str:
    """Returns the exam table of a tiny model trained two ways; what is finished in `out` is not done again."""
    tell = printer(True)
    data = out / "data"
    if not (data / "manifest.json").exists():
        tell("1. prepare: the English prose of the Python documentation on this machine")
        prepare(PrepareSettings(sources=("python-docs",), out=data, train_tokenizer=DEMO_VOCABULARY))
    tell(describe(open_data(data)))
    grades = {}
    for recipe in DEMO_RECIPES:
        tell(f"2. pretrain: a tiny model, recipe {recipe}")
        run = out / recipe
        settings = resolve(
            load_recipe(recipe),
            {
                "recipe": recipe,
                "data": {"path": str(data)},
                "model": {"preset": "tiny"},
                "trainer": {
                    "max_steps": DEMO_STEPS,
                    "per_device_train_batch_size": DEMO_BATCH,
                    "eval_steps": 100,
                    "save_steps": 100,
                },
            },
        )
        grades[recipe] = run
        if not (run / DONE).exists():
            pretrain(settings, run, resume=run.exists())
    return _table(grades, data)


def _table(grades: dict[str, Path], data: Path) -> str:
    from maskwise.training.examine import examine

    report = examine([str(run) for run in grades.values()], data)
    names = {str(run): recipe for recipe, run in grades.items()}
    table = exam_table({names.get(name, name): result for name, result in report.results.items()})
    return (
        f"{table}\n"
        "Losses in nats on the frozen exam. One tiny run each: this shows that it works, not which masking is better."
    )
