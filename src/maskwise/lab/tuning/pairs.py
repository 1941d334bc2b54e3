"""A bi-encoder from a checkpoint, trained on pairs of a query and the document that answers it.

Every other document of the batch is a wrong answer: the loss is the cross-entropy of the right one among all, over
cosine similarities x 20 (in-batch negatives, Henderson et al. 2017). Its gradient is computed in parts (Gao et al.
2021), so that memory does not grow with the batch, at the price of a second forward pass. Needs sentence-transformers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import semantic_search

from maskwise.files.checkpoint_names import checkpoint_source
from maskwise.lab.tuning.best_weights import BestWeights
from maskwise.lab.tuning.fit import (
    Fitted,
    ShowProgress,
    counted_tuning_flops,
    reopen,
    train_to_the_best,
    training_options,
)
from maskwise.lab.tuning.graded_trainer import GradedTrainer
from maskwise.lab.tuning.load import plain_attention
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.models.device import on_one_device
from maskwise.models.flops import TRAINING
from maskwise.models.loading import load_config, loading
from maskwise.progress import printer
from maskwise.training.cpu_dropout import use_bit_dropout

SCALE = 20.0
ENCODED_AT_ONCE = 64
PASSES = TRAINING + 1  # the forward passes that a step is worth: it runs forward twice


class Pair(NamedTuple):
    """A query, and a document that answers it."""

    query: str
    document: str


class Grade(NamedTuple):
    """How good an encoder is: a score, the higher the better, and a loss that decides between equal scores."""

    score: float
    loss: float


def build_encoder(checkpoint: str, seed: int, max_length: int) -> SentenceTransformer:
    """Returns the checkpoint's encoder with the mean of its last hidden states as the embedding of a text, in fp32.

    Raises InputError if the checkpoint does not load.
    """
    with torch.random.fork_rng(devices=[]), loading(checkpoint):
        torch.manual_seed(seed)  # a pooler that the checkpoint lacks is drawn, though never used
        load_config(checkpoint)  # raises for a foreign attention
        no_code: dict[str, Any] = {"trust_remote_code": False}
        options = {"dtype": torch.float32, **plain_attention(), **no_code}
        body = Transformer(
            checkpoint_source(checkpoint), max_seq_length=max_length, model_kwargs=options,
            config_kwargs=no_code, processor_kwargs=no_code,
        )  # fmt: skip
    return SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension(), "mean")])


def fit_pairs(
    encoder: SentenceTransformer,
    settings: TuneSettings,
    pairs: Sequence[Pair],
    grade: Callable[[SentenceTransformer], Grade],
    *,
    seed: int,
    out: Path,
    title: str = "retrieval",
    show: bool = True,
) -> Fitted:
    """Trains an encoder on pairs, and returns it as it was after the epoch that `grade` finds best.

    Checkpoints go to `out`, and a run that finds one there resumes from it. No text is twice in a batch. Raises
    InputError if the loss is no longer finite.
    """
    options = training_options(settings, seed, out)
    args = on_one_device(SentenceTransformerTrainingArguments(**options, batch_sampler=BatchSamplers.NO_DUPLICATES))
    if args.device.type == "cpu":
        use_bit_dropout(encoder)
    best = BestWeights(encoder, settings.patience)
    newest = reopen(best, out, printer(show))
    columns = {"anchor": [pair.query for pair in pairs], "positive": [pair.document for pair in pairs]}
    loss = CachedMultipleNegativesRankingLoss(encoder, scale=SCALE, mini_batch_size=_rows_at_once(encoder, settings))
    trainer = PairTrainer(encoder, args, Dataset.from_dict(columns), loss, grade, best)
    train_to_the_best(trainer, settings, best, newest, ShowProgress(title, len(pairs), best, show=show))
    epochs, tokens = len(best.history), sum(count_read_tokens(encoder, list(texts))[0] for texts in columns.values())
    body: Any = encoder[0]
    flops = counted_tuning_flops(body.auto_model.config, tokens / (2 * len(pairs)), passes=PASSES)
    return Fitted(
        encoder.eval(), best.epoch, best.history, best.history[-1]["seconds"], epochs * tokens,
        None if flops is None else flops * epochs * tokens, epochs * math.ceil(len(pairs) / settings.batch_size),
    )  # fmt: skip


def _rows_at_once(encoder: SentenceTransformer, settings: TuneSettings) -> int:
    return max(1, settings.micro_batch_tokens // int(encoder.max_seq_length or settings.max_length))


class PairTrainer(GradedTrainer, SentenceTransformerTrainer):
    """sentence-transformers' trainer, graded by a function at the end of each epoch."""

    def __init__(
        self,
        encoder: SentenceTransformer,
        args: SentenceTransformerTrainingArguments,
        pairs: Dataset,
        loss: torch.nn.Module,
        grade: Callable[[SentenceTransformer], Grade],
        best: BestWeights,
    ) -> None:
        super().__init__(encoder, args, train_dataset=pairs, eval_dataset=pairs, loss=loss)
        self.grade = grade
        self.start_grading(best)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Adds none: what a run was is in `result.json`."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Returns the loss of a batch, and notes whether it was finite."""
        loss = super().training_step(*args, **kwargs)
        self.note_loss(loss)
        return loss

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"):
        """Returns the grade of the encoder; the best weights are kept."""
        self.raise_if_not_finite()
        seconds = self.seconds
        return self.keep_grade(*self.grade(self.model), seconds)


def embed(encoder: SentenceTransformer, texts: Sequence[str]) -> torch.Tensor:
    """Returns [N, D], the embeddings of texts in evaluation mode, each of length 1; the mode is put back."""
    was_training = encoder.training
    embeddings = encoder.encode(
        list(texts), batch_size=ENCODED_AT_ONCE, show_progress_bar=False, convert_to_tensor=True,
        normalize_embeddings=True,
    )  # fmt: skip
    encoder.train(was_training)
    return embeddings


def grade_pairs(encoder: SentenceTransformer, pairs: Sequence[Pair]) -> Grade:
    """Returns how well each query finds its own document among those of all pairs: mean reciprocal rank, and loss."""
    queries, documents = (embed(encoder, texts) for texts in zip(*pairs, strict=True))
    similarities = queries @ documents.T
    right = similarities.diagonal()[:, None]
    ranks = (similarities > right).sum(-1) + 1
    loss = torch.nn.functional.cross_entropy(SCALE * similarities, torch.arange(len(pairs), device=queries.device))
    return Grade(float((1 / ranks).mean()), float(loss))


def search(
    encoder: SentenceTransformer, documents: Sequence[str], queries: Sequence[str], depth: int
) -> list[list[tuple[int, float]]]:
    """Returns for each query the first `depth` documents by cosine: their numbers and the cosines, the best first."""
    found = semantic_search(embed(encoder, queries), embed(encoder, documents), top_k=depth)
    return [[(int(hit["corpus_id"]), float(hit["score"])) for hit in hits] for hits in found]


def count_read_tokens(encoder: SentenceTransformer, texts: Sequence[str]) -> tuple[int, int]:
    """Returns how many tokens the encoder reads of texts, and how many of the texts are cut."""
    longest = int(encoder.max_seq_length or 0)
    lengths = [len(ids) for ids in encoder.tokenizer(list(texts), verbose=False)["input_ids"]]
    return sum(min(length, longest) for length in lengths), sum(length > longest for length in lengths)
