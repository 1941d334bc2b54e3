"""Compares an own score with random masking on the built-in corpus and its task: a verdict, and a page.

python examples/two_arms.py out
"""

import sys
from pathlib import Path

from maskwise.lab import Arm, Backbone, InProcessExecutor, Study, prepare, report, run_study
from maskwise.lab.package_task import write_package_task
from maskwise.lab.tokens.prepare import PrepareSettings


def late(batch):
    return batch["eligible"].float().cumsum(-1)  # the further on, the more likely to be masked


def main(out, vocabulary=4096, examples=200, seeds="0-5", trainer=None, tune=None):
    corpus = PrepareSettings(sources=("python-docs",), out=Path(out, "data"), train_tokenizer=vocabulary)
    write_package_task(corpus, Path(out, "tasks", "package"), classes=8, train=examples, held_out=60)
    study = Study(
        seeds=seeds, tasks=["package"], task_data=f"{out}/tasks", not_pretrained=True,
        pretrain={"data": {"path": prepare(corpus)}, "trainer": trainer or {"max_steps": 250}}, tune=tune or {},
        backbones=[Backbone("tiny", preset="tiny")], arms=[Arm("random"), Arm("late", score=late)],
        statistics={"family": [("late", "random")], "margin": 0.01},
    )  # fmt: skip
    run_study(study, f"{out}/study", executor=InProcessExecutor())
    found = report(f"{out}/study", out=f"{out}/report.html")
    print(found)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
