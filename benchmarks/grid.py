"""Which points the benchmark measures: a core of every work, and one axis at a time around it.

Sequences are full, so a step of B x T tokens is the same size at every length; at the vocabulary axis it is a quarter
of that, or the dense logits of the stock way would not fit into memory.
"""

from __future__ import annotations

from typing import NamedTuple

STEPS = ("step-random", "step-stored", "step-self", "step-distilled")
ON_TEXT = ("prepare", "finetune", "whole-job")
WORKS = (*STEPS, "scoring", "prepare", "held_out", "finetune", "whole-job")
FEW_TURNS = 3
BERT_VOCABULARY = 30_522
VOCABULARIES = (8_192, BERT_VOCABULARY, 128_000, 250_000)


class Case(NamedTuple):
    """A point of the grid; `tokens` are those of a step."""

    works: tuple[str, ...]
    model: str
    precision: str
    vocabulary: int = BERT_VOCABULARY
    length: int = 128
    tokens: int = 2048
    turns: int = FEW_TURNS


class JobSize(NamedTuple):
    """How much is read, tuned and trained in the work on text; `examples` are CoLA's, for training and for scoring."""

    examples: dict[str, int]
    steps: int
    held_out_blocks: int
    job_examples: int | None
    processes: int


TOKENS = {"tiny": 4096, "bertlet": 2048, "bert": 1024}
CPU_JOB = JobSize({"tiny": 1024, "bertlet": 256}, steps=200, held_out_blocks=256, job_examples=None, processes=2)
CUDA_TOKENS = {"tiny": 16_384, "bertlet": 16_384, "bert": 8192}
CUDA_JOB = JobSize({"bertlet": 2048}, steps=200, held_out_blocks=1024, job_examples=None, processes=2)
QUICK_JOB = JobSize({"tiny": 16}, steps=2, held_out_blocks=4, job_examples=16, processes=1)


def cpu_grid(turns: int) -> list[Case]:
    """Returns the points of two processor cores, the core first; about 35 minutes at 5 turns."""
    few = min(turns, FEW_TURNS)
    core = (*STEPS, "scoring", "held_out", "finetune")
    cases = [Case(("prepare",), "-", "-", turns=few)]
    cases += [
        Case(core, model, precision, tokens=TOKENS[model], turns=turns if precision == "bf16" else few)
        for model in ("tiny", "bertlet")
        for precision in ("bf16", "fp32")
    ]
    axes = ("step-random", "step-self", "scoring")
    for model in ("tiny", "bertlet"):
        cases += [
            Case(axes, model, "bf16", vocabulary, tokens=TOKENS[model] // 4, turns=few) for vocabulary in VOCABULARIES
        ]
        cases += [Case(axes[:2], model, "bf16", length=length, tokens=TOKENS[model], turns=few) for length in (64, 512)]
    cases.append(Case(axes, "bert", "bf16", tokens=TOKENS["bert"], turns=few))
    return [*cases, Case(("whole-job",), "tiny", "bf16", turns=1)]


def cuda_grid(turns: int) -> list[Case]:
    """Returns the points of a GPU, those that matter most first; about 10 minutes, by reckoning.

    Nothing was timed on a GPU. A step takes milliseconds, so what counts is the graphs to compile: three of training
    and three of a forward pass for all four steps and scoring, two and two along the vocabulary, two and one at length
    64. If one of training takes BERT 30 s and a forward one 10 s (a guess), and others less by their number of layers,
    that is 240 s for BERT, 80 s for BERTlet, 20 s for tiny, 110 s along the vocabulary and 25 s at length 64. The work
    on text and the entropy tables take the other 2 minutes (a guess too, from what text takes on two cores).
    """
    core = (*STEPS, "scoring")
    points = [(model, length) for model in ("bertlet", "bert") for length in (128, 512)]
    cases = [
        Case(core, model, "bf16", length=length, tokens=CUDA_TOKENS[model], turns=4 * turns)
        for model, length in (*points, ("tiny", 128))
    ]
    axes, tokens = ("step-random", "step-self", "scoring"), CUDA_TOKENS["bertlet"]
    cases += [
        Case(axes, "bertlet", "bf16", vocabulary, tokens=tokens // 4, turns=2 * turns) for vocabulary in VOCABULARIES
    ]
    cases.append(Case(axes[:2], "bertlet", "bf16", length=64, tokens=tokens, turns=2 * turns))
    cases.append(Case(("held_out", "finetune"), "bertlet", "bf16", tokens=tokens, turns=turns))
    cases.append(Case(("prepare",), "-", "-", turns=1))
    return [*cases, Case(("whole-job",), "tiny", "bf16", tokens=CUDA_TOKENS["tiny"], turns=1)]


def quick_grid() -> list[Case]:
    """Returns one toy point of every work, one turn each."""
    toy = {"vocabulary": 300, "length": 32, "tokens": 128, "turns": 1}
    return [
        Case(("prepare",), "-", "-", **toy),
        Case((*STEPS, "scoring", "held_out", "finetune"), "tiny", "fp32", **toy),
        Case(("whole-job",), "tiny", "fp32", **toy),
    ]


def chosen(cases: list[Case], works: list[str], models: list[str]) -> list[Case]:
    """Returns the cases cut down to these works and models; empty lists leave all."""
    cut = [case._replace(works=tuple(work for work in case.works if not works or work in works)) for case in cases]
    return [case for case in cut if case.works and (not models or case.model in (*models, "-"))]
