"""How each work of the benchmark is measured: our way and the stock way by turns, then one row."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import finetune
import held_out
import prepare
import step
import torch
import whole_job
from common import Work, alternate, compiled_afresh, random_text, timed
from floors import Cost, held_out_cost, measured_rates, scoring_cost, step_cost, tuning_cost
from grid import STEPS, Case, JobSize
from material import Material
from memory import Peak, tensor_bytes
from rows import Row, Setting, make_row

from maskwise.lab.tasks.table import find_task
from maskwise.lab.tokens.tokenizer import open_tokenizer
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.models.presets import build_model
from maskwise.models.sparse import evaluating
from maskwise.scores.model import score_with
from maskwise.training.cpu_allocator import kept_buffers


class Place(NamedTuple):
    """Where it runs, and what it reads; without `material` the works on text are left out."""

    device: str
    material: Material | None
    job: JobSize
    compiled: bool


def rows_of(case: Case, place: Place) -> Iterator[Row]:
    """Yields the rows of a case as they are measured; what it compiles is gone with it."""
    on_model = [work for work in case.works if work in (*STEPS, "scoring", "held_out")]
    with compiled_afresh(place.compiled):
        if on_model:
            yield from _model_rows(case, place, on_model)
        if place.material is not None:
            for work in case.works:
                if work in ON_TEXT:
                    yield ON_TEXT[work](case, place, place.material)


def _model_rows(case: Case, place: Place, works: list[str]) -> Iterator[Row]:
    batch = max(case.tokens // case.length, 1)
    bench = step.Bench(
        case.model, batch, case.length, case.vocabulary, place.device,
        precision=case.precision, compiled=place.compiled,
    )  # fmt: skip
    size = (case.model, case.vocabulary, case.length, batch * case.length, sum(map(torch.numel, _weights(bench))))
    kinds = [work.removeprefix("step-") for work in works if work in STEPS]
    if kinds:
        stock = f"stock {case.precision}"
        sides = {kind: partial(bench.turn, kind) for kind in (stock, *kinds)}
        turns = _by_turns(
            sides, lambda kind: bench.held_bytes("stock" if kind == stock else "ours"), case.turns, place.device
        )
        for kind in kinds:
            yield turns.row(f"step-{kind}", case, place, step_cost(kind, *size), size[3], (kind, stock))
    if "scoring" in works:
        yield _pair("scoring", _scoring_sides(bench, place.device), bench, case, place, scoring_cost(*size), size[3])
    if "held_out" in works:
        blocks = [{"input_ids": row.tolist()} for row in random_text(bench.tokenizer, 2 * batch, case.length)]
        cost = held_out_cost(*size).times(2)
        with tempfile.TemporaryDirectory() as folder:
            asked = held_out.Bench(bench.models["stock"], bench.tokenizer, blocks, folder, case.precision)
            sides = {"ours": timed(asked.ours, place.device), "stock": timed(asked.stock, place.device)}
            yield _pair("held_out", sides, bench, case, place, cost, 2 * size[3])


def _weights(bench: step.Bench) -> list[torch.nn.Parameter]:
    return list(bench.models["ours"].parameters())


def _scoring_sides(bench: step.Bench, device: str) -> dict[str, Work]:
    """Scoring a batch for masking: the entropy of every token that may be masked; stock is dense logits."""
    batch = bench.maskers["self"].prepare({"input_ids": bench.text})

    @torch.no_grad()
    def dense() -> torch.Tensor:
        with evaluating(bench.models["stock"]), bench.autocast(bench.precision):
            log_p_BTV = bench.called["stock"](input_ids=bench.text).logits.float().log_softmax(-1)
        return -(log_p_BTV.exp() * log_p_BTV).sum(-1)

    def ours() -> torch.Tensor:
        with bench.autocast(bench.precision):
            return score_with(bench.head, batch, "entropy_R")

    def settled() -> float:  # as it is met inside a training step
        with kept_buffers(torch.device(device)):
            ours()
            return timed(ours, device)()

    return {"ours": settled, "stock": timed(dense, device)}


class Turns(NamedTuple):
    """The seconds of every side by turn, and its peak."""

    seconds: dict[str, list[float]]
    peaks: dict[str, int | None]

    def row(self, work: str, case: Case, place: Place, cost: Cost, tokens: int, sides: tuple[str, str]) -> Row:
        """Returns the row of two sides, ours and stock."""
        setting = Setting(case.model, place.device, case.precision, case.vocabulary, case.length)
        ours, stock = (self.seconds[side] for side in sides)
        floor = (cost, measured_rates(place.device, case.precision if case.precision != "-" else "fp32"))
        return make_row(work, setting, tokens, ours, stock, floor, (self.peaks[sides[0]], self.peaks[sides[1]]))


def _by_turns(sides: Mapping[str, Work], held_bytes: Callable[[str], int], turns: int, device: str) -> Turns:
    """A first turn compiles, a second one is watched for memory, and the others are timed."""
    alternate(sides, 1)
    peaks: dict[str, int | None] = {}
    for name, run in sides.items():
        with Peak(device) as peak:
            run()
        peaks[name] = None if peak.bytes is None else peak.bytes + held_bytes(name)
    return Turns(alternate(sides, turns), peaks)


def _pair(
    work: str, sides: dict[str, Work], bench: step.Bench, case: Case, place: Place, cost: Cost, tokens: int
) -> Row:
    weights = tensor_bytes(bench.models["ours"])
    turns = _by_turns(sides, lambda name: weights, case.turns, place.device)
    return turns.row(work, case, place, cost, tokens, ("ours", "stock"))


def _prepare_row(case: Case, place: Place, material: Material) -> Row:
    """Each turn is a process of its own, whose memory counts with that of its workers."""
    sides: dict[str, Any] = {"ours": prepare.ours, "stock": prepare.stock}
    found: dict[str, list[Any]] = {name: [] for name in sides}
    for _ in range(case.turns):
        for name, run in sides.items():
            found[name].append(prepare.measured(run, material.corpus, material.vocabulary, place.job.processes))
    seconds = {name: [turn[0] for turn in turns] for name, turns in found.items()}
    peaks: dict[str, int | None] = {
        name: int(1e9 * statistics.median(turn[3] for turn in turns)) for name, turns in found.items()
    }
    tokens = found["ours"][0][2]
    cost = Cost(0.0, material.corpus.stat().st_size + 4 * tokens)  # the text is read, ids and word ids are written
    case = case._replace(vocabulary=_vocabulary(material), length=prepare.BLOCK)
    return Turns(seconds, peaks).row("prepare", case, place._replace(device="cpu"), cost, tokens, ("ours", "stock"))


def _finetune_row(case: Case, place: Place, material: Material) -> Row:
    tokenizer, number = open_tokenizer(str(material.vocabulary)), place.job.examples[case.model]
    settings = TuneSettings(batch_size=32, max_epochs=1, bf16=case.precision == "bf16", checkpoint_seconds=1e9)
    with tempfile.TemporaryDirectory() as folder:
        build_model(case.model, len(tokenizer), seed=0).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        bench = finetune.Bench(folder, find_task("cola"), material.cola, settings, number, number)
        sides = {"ours": lambda: bench.ours(seed=0)[0], "stock": lambda: bench.stock(seed=0)[0]}
        turns = _by_turns(sides, lambda name: 0, case.turns, place.device)
    train, valid = (sum(len(row["input_ids"]) for row in rows) for rows in (bench.train, bench.valid))
    cost = tuning_cost(case.model, len(tokenizer), train // len(bench.train), train, valid)
    case = case._replace(vocabulary=len(tokenizer), length=finetune.LENGTH)
    return turns.row("finetune", case, place, cost, train + valid, ("ours", "stock"))


def _whole_job_row(case: Case, place: Place, material: Material) -> Row:
    size, batch = place.job, max(case.tokens // prepare.BLOCK, 1)
    job = whole_job.Job(
        material, case.model, case.precision, place.device, batch, size.steps, size.held_out_blocks, size.job_examples,
        size.processes,
    )  # fmt: skip
    peaks: dict[str, list[int | None]] = {"ours": [], "stock": []}
    work = {name: whole_job.measured(getattr(whole_job, name), job, peaks[name]) for name in peaks}
    turns = Turns(alternate(work, case.turns), {name: found[0] for name, found in peaks.items()})
    vocabulary, tokens = _vocabulary(material), size.steps * batch * prepare.BLOCK
    case = case._replace(vocabulary=vocabulary, length=prepare.BLOCK)
    return turns.row("whole-job", case, place, whole_job.cost(job, vocabulary), tokens, ("ours", "stock"))


def _vocabulary(material: Material) -> int:
    return len(open_tokenizer(str(material.vocabulary)))


ON_TEXT = {"prepare": _prepare_row, "finetune": _finetune_row, "whole-job": _whole_job_row}
