"""The laboratory: text to tokens to models to verdicts, in folders. Install it with `pip install "maskwise[lab]"`.

The public names, each imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwise.lazy import lazy_names

if TYPE_CHECKING:
    from maskwise.lab.demonstration import demo
    from maskwise.lab.evaluation.babylm import evaluate_babylm
    from maskwise.lab.evaluation.pairs import evaluate_pairs
    from maskwise.lab.evaluation.perplexity import evaluate_perplexity
    from maskwise.lab.evaluation.reading_times import evaluate_reading
    from maskwise.lab.evaluation.several import evaluate_several
    from maskwise.lab.evaluation.side_by_side import evaluate, evaluate_words
    from maskwise.lab.evaluation.word_formation import evaluate_word_formation
    from maskwise.lab.evaluation.zero_shot import evaluate_zero_shot
    from maskwise.lab.jobs.in_process import InProcessExecutor
    from maskwise.lab.jobs.local import LocalExecutor
    from maskwise.lab.pretraining.annotate import annotate
    from maskwise.lab.pretraining.pretrain import pretrain
    from maskwise.lab.previews.example import preview
    from maskwise.lab.reports.job import report
    from maskwise.lab.stats.comparison import compare
    from maskwise.lab.stats.paired import holm
    from maskwise.lab.study.declaration import Arm, Backbone
    from maskwise.lab.study.integrity import verify
    from maskwise.lab.study.results import collect
    from maskwise.lab.study.runner import run_study
    from maskwise.lab.study.study_file import Study, load_study
    from maskwise.lab.tokens.blocks import open_data
    from maskwise.lab.tokens.own_columns import add_column
    from maskwise.lab.tokens.prepare import prepare
    from maskwise.lab.tuning.finetune import finetune
    from maskwise.lab.weight_changes.report import drift

__all__ = [
    "Arm",
    "Backbone",
    "InProcessExecutor",
    "LocalExecutor",
    "Study",
    "add_column",
    "annotate",
    "collect",
    "compare",
    "demo",
    "drift",
    "evaluate",
    "evaluate_babylm",
    "evaluate_pairs",
    "evaluate_perplexity",
    "evaluate_reading",
    "evaluate_several",
    "evaluate_word_formation",
    "evaluate_words",
    "evaluate_zero_shot",
    "finetune",
    "holm",
    "load_study",
    "open_data",
    "prepare",
    "pretrain",
    "preview",
    "report",
    "run_study",
    "verify",
]

_MODULES = {
    "Arm": "maskwise.lab.study.declaration",
    "Backbone": "maskwise.lab.study.declaration",
    "InProcessExecutor": "maskwise.lab.jobs.in_process",
    "LocalExecutor": "maskwise.lab.jobs.local",
    "Study": "maskwise.lab.study.study_file",
    "add_column": "maskwise.lab.tokens.own_columns",
    "annotate": "maskwise.lab.pretraining.annotate",
    "collect": "maskwise.lab.study.results",
    "compare": "maskwise.lab.stats.comparison",
    "demo": "maskwise.lab.demonstration",
    "drift": "maskwise.lab.weight_changes.report",
    "evaluate": "maskwise.lab.evaluation.side_by_side",
    "evaluate_babylm": "maskwise.lab.evaluation.babylm",
    "evaluate_pairs": "maskwise.lab.evaluation.pairs",
    "evaluate_perplexity": "maskwise.lab.evaluation.perplexity",
    "evaluate_reading": "maskwise.lab.evaluation.reading_times",
    "evaluate_several": "maskwise.lab.evaluation.several",
    "evaluate_word_formation": "maskwise.lab.evaluation.word_formation",
    "evaluate_words": "maskwise.lab.evaluation.side_by_side",
    "evaluate_zero_shot": "maskwise.lab.evaluation.zero_shot",
    "finetune": "maskwise.lab.tuning.finetune",
    "holm": "maskwise.lab.stats.paired",
    "load_study": "maskwise.lab.study.study_file",
    "open_data": "maskwise.lab.tokens.blocks",
    "prepare": "maskwise.lab.tokens.prepare",
    "pretrain": "maskwise.lab.pretraining.pretrain",
    "preview": "maskwise.lab.previews.example",
    "report": "maskwise.lab.reports.job",
    "run_study": "maskwise.lab.study.runner",
    "verify": "maskwise.lab.study.integrity",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
