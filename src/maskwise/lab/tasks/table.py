"""The tasks a checkpoint can be tuned on: one table, one row a task.

Columns, classes and splits are those of the GLUE benchmark (Wang et al. 2019) as `nyu-mll/glue` has them on the Hugging
Face hub. `official` are the benchmark's metrics; `paper` is the one that the entropy masking paper reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from maskwise.errors import InputError, nearest

TaskKindName = Literal["classify", "regress", "tag", "retrieve"]
POOLED = "_pooled"  # the ending of a metric over the validation and the test set together


@dataclass(frozen=True)
class Task:
    """What a task is made of. `classes` are in the order of the label numbers; empty: they are found in the data.

    `text_columns` has one column, or two for pairs of texts. `tsv_columns` are the columns of the official GLUE files,
    texts first and the label last; numbers where a file has no header. `folder` is the official folder's name, `hub`
    the data set's name and configuration on the hub.
    """

    name: str
    kind: TaskKindName = "classify"
    text_columns: tuple[str, ...] = ("sentence",)
    label_column: str = "label"
    classes: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ("validation",)
    official: tuple[str, ...] = ("accuracy",)
    paper: str | None = "accuracy"
    tsv_columns: tuple[str | int, ...] = ()
    folder: str = ""
    hub: str = ""

    @property
    def primary(self) -> str:
        """The metric that comparisons are about: the first official one, over all held-out words of a tagging task.

        Items are few where tags are counted: validation and test pooled leave the smaller error.
        """
        return self.official[0] + (POOLED if self.kind == "tag" else "")


PAIR = ("sentence1", "sentence2")
ENTAILED = ("entailment", "not_entailment")
COLA = Task(
    "cola", classes=("unacceptable", "acceptable"), official=("matthews_correlation",),
    tsv_columns=(3, 1), folder="CoLA", hub="nyu-mll/glue:cola",
)  # fmt: skip
SST2 = Task(
    "sst2", classes=("negative", "positive"), tsv_columns=("sentence", "label"), folder="SST-2",
    hub="nyu-mll/glue:sst2",
)  # fmt: skip
MRPC = Task(
    "mrpc", text_columns=PAIR, classes=("not_equivalent", "equivalent"), official=("accuracy", "f1"), paper="f1",
    tsv_columns=("#1 String", "#2 String", "Quality"), folder="MRPC", hub="nyu-mll/glue:mrpc",
)  # fmt: skip
STSB = Task(
    "stsb", "regress", text_columns=PAIR, official=("pearson", "spearman"), paper=None,
    tsv_columns=(*PAIR, "score"), folder="STS-B", hub="nyu-mll/glue:stsb",
)  # fmt: skip
QQP = Task(
    "qqp", text_columns=("question1", "question2"), classes=("not_duplicate", "duplicate"),
    official=("accuracy", "f1"), tsv_columns=("question1", "question2", "is_duplicate"), folder="QQP",
    hub="nyu-mll/glue:qqp",
)  # fmt: skip
MNLI = Task(
    "mnli", text_columns=("premise", "hypothesis"), classes=("entailment", "neutral", "contradiction"),
    held_out=("validation_matched", "validation_mismatched"), official=("accuracy_matched", "accuracy_mismatched"),
    paper="accuracy_mismatched", tsv_columns=(*PAIR, "gold_label"), folder="MNLI", hub="nyu-mll/glue:mnli",
)  # fmt: skip
QNLI = Task(
    "qnli", text_columns=("question", "sentence"), classes=ENTAILED, tsv_columns=("question", "sentence", "label"),
    folder="QNLI", hub="nyu-mll/glue:qnli",
)  # fmt: skip
RTE = Task(
    "rte", text_columns=PAIR, classes=ENTAILED, tsv_columns=(*PAIR, "label"), folder="RTE", hub="nyu-mll/glue:rte"
)
WNLI = Task(
    "wnli", text_columns=PAIR, classes=ENTAILED[::-1], paper=None, tsv_columns=(*PAIR, "label"), folder="WNLI",
    hub="nyu-mll/glue:wnli",
)  # fmt: skip
GLUE = (COLA, SST2, MRPC, STSB, QQP, MNLI, QNLI, RTE, WNLI)

# The relation of a chemical and a protein in a sentence; its accuracy is what others call micro-F1.
CHEMPROT = Task("chemprot", text_columns=("text",), official=("accuracy", "macro_f1"), paper=None)

# The package that a docstring comes from, eight of them: what the demo is graded by (`data.package_task`).
PACKAGE = Task("package", text_columns=("text",), official=("accuracy", "macro_f1"), paper=None)

# A tag for each word; the test set is scored too where there is one. The folders are those of UD English EWT and of the
# NCBI disease corpus.
POS = Task(
    "pos", "tag", text_columns=("tokens",), label_column="upos", held_out=("validation", "test"), paper=None,
    folder="ud_english_ewt",
)  # fmt: skip
NER = Task(
    "ner", "tag", text_columns=("tokens",), label_column="tags", held_out=("validation", "test"),
    official=("entity_f1",), paper=None, folder="ncbi_disease",
)  # fmt: skip

# Any data set in the layout of BEIR: corpus.jsonl, queries.jsonl, qrels/*.tsv.
RETRIEVAL = Task(
    "retrieval", "retrieve", held_out=("test",), official=("ndcg@10", "mrr@10", "recall@100"), paper=None,
    folder="cranfield",
)  # fmt: skip

TASKS = {task.name: task for task in (*GLUE, CHEMPROT, PACKAGE, POS, NER, RETRIEVAL)}


def find_task(name: str, *, text_columns: tuple[str, ...] = (), label_column: str | None = None) -> Task:
    """Returns the row of the table, its columns replaced where they are given.

    A name that is not in the table is your own classification set; it needs `text_columns`. Without them, raises
    InputError with the nearest known name.

    >>> find_task("reviews", text_columns=("body",), label_column="stars").official
    ('accuracy', 'macro_f1')
    """
    if name not in TASKS and not text_columns:
        raise InputError(
            f"No task {name!r}.{nearest(name, TASKS)} Known: {', '.join(TASKS)}; for your own classification set, "
            "add --text-column and --label-column."
        )
    task = TASKS.get(name) or Task(name, official=("accuracy", "macro_f1"), paper=None)
    return replace(task, text_columns=text_columns or task.text_columns, label_column=label_column or task.label_column)
