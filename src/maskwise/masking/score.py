"""What a score is: a function of a batch, or a `StatefulScore` with hooks into the run.

Shapes: B sequences, T positions, D width of the embedding, R labelled rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.masking.batch_functions import fingerprint_of, plain_function, settings_text
from maskwise.masking.score_context import RunPlan, ScoreContext, TrainState

Score = Callable[[Mapping[str, Any]], Tensor]

_HOOKS = frozenset({"bind", "check_run", "on_epoch_start", "on_step_end", "learn", "observe"})


class Labelled(NamedTuple):
    """What the model made of the labelled rows of a micro-batch.

    `fate_R` is 0 if the token was replaced by [MASK], 1 if by a random token, 2 if it was kept. `counted_R` is False at
    filler rows. `nll_R` and `entropy_R` are in nats; what no score asked for by `feedback` is None.
    """

    token_id_R: Tensor
    row_R: Tensor
    position_R: Tensor
    example_id_R: Tensor
    fate_R: Tensor
    counted_R: Tensor
    nll_R: Tensor | None = None
    is_correct_R: Tensor | None = None
    entropy_R: Tensor | None = None

    def note(self, name: str) -> Tensor:
        """Returns what a name of `feedback` asked for: "nll", "correct" or "entropy"."""
        value_R = {"nll": self.nll_R, "correct": self.is_correct_R, "entropy": self.entropy_R}[name]
        assert value_R is not None, f"nobody asked for {name}"
        return value_R


def uniform(batch: Mapping[str, Any]) -> Tensor:
    """Returns 1 for every token, [B, T]: random masking.

    Args:
        batch: Anything with `input_ids` [B, T].

    Returns:
        Ones, float32 [B, T].

    >>> uniform({"input_ids": torch.tensor([[5, 6, 7]])})
    tensor([[1., 1., 1.]])
    """
    return torch.ones(batch["input_ids"].shape, device=batch["input_ids"].device)


class StatefulScore:
    """A score with hooks into the run, and with a state that checkpoints keep. Subclass it and override what you need.

    Only `__call__` must be overridden; every hook does nothing by default. `MaskingTrainer` calls them; in a bare loop
    call them yourself.

    Attributes:
        columns: Columns of the rows that the score reads from the batch. They are padded and moved to the device, and
            the model does not get them.
        feedback: What `learn` asks for, of {"nll", "correct", "entropy"}. Empty: `learn` is never called.
        wants_gradients: Whether `observe` is called. The model then runs eager.
        is_local: Whether the score works in the workers of a data loader, without any hook.
        default_pick: The pick of a `Masker` that is given none.

    Example of a score that masks what was masked least so far:

    >>> class LeastMasked(StatefulScore):
    ...     def __init__(self, vocabulary_size):
    ...         self.add_state("counts", torch.zeros(vocabulary_size), sum_over_ranks=True)
    ...     def __call__(self, batch):
    ...         return 1 / (1 + self.counts[batch["input_ids"]])
    >>> score = LeastMasked(4)
    >>> score({"input_ids": torch.tensor([[2, 3]])})
    tensor([[1., 1.]])
    >>> sorted(score.state_dict())
    ['counts']
    """

    columns: tuple[str, ...] = ()
    feedback: frozenset[str] = frozenset()
    wants_gradients: bool = False
    is_local: bool = False
    default_pick: str = "sample"

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns how much each token of a prepared batch is worth masking, [B, T]."""
        raise NotImplementedError(f"{type(self).__name__} does not override __call__(batch) -> [B, T].")

    @property
    def name(self) -> str:
        """What error messages and records call the score."""
        return type(self).__name__

    def parts(self) -> Sequence[StatefulScore]:
        """Returns the scores inside this one; hooks, columns and state reach them too."""
        return ()

    def bind(self, model: nn.Module, tokenizer: Any) -> None:
        """Names the model in training: at the start of each `train()`, and when it is replaced or compiled."""

    def check_run(self, plan: RunPlan) -> None:
        """Raises InputError if the score cannot work in a run of this length; called before its first step."""

    def on_epoch_start(self, context: ScoreContext) -> None:
        """Called on every process when an epoch starts, and when a run is resumed inside one."""

    def on_step_end(self, context: ScoreContext) -> None:
        """Called on every process after each optimizer step, before anything is saved."""

    def learn(self, batch: Mapping[str, Any], labelled: Labelled) -> None:
        """Called after the forward pass of each micro-batch, with the batch as it was before it was masked."""

    def observe(self, batch: Mapping[str, Any], gradients_BTD: Tensor) -> None:
        """Called after the backward pass of each micro-batch with the loss's gradient at the embedding's output.

        The gradient is that of the step's loss: sums over labelled tokens divided by the count of the whole step, on
        every process, and without a loss scale.
        """

    def source(self, state: TrainState) -> str | None:
        """Returns who scores at a point of the run ("teacher", "self", ...), for the log; None: nobody to name."""
        return None

    def type_rates(self, rate: float) -> Tensor | None:
        """Returns each token type's probability of being masked [V] at a budget, if it depends on nothing else."""
        return None

    def fingerprint(self) -> str:
        """Returns what the score is, for records: its class and its settings."""
        arguments = ", ".join([*settings_text(vars(self)), *(part.fingerprint() for part in self.parts())])
        return f"{type(self).__module__}:{type(self).__qualname__}({arguments})"

    def add_state(self, name: str, tensor: Tensor, sum_over_ranks: bool = False) -> None:
        """Makes a tensor an attribute that moves to the batch's device and is part of `state_dict`.

        Args:
            name: The attribute's name.
            tensor: Its value at the start of a run.
            sum_over_ranks: Whether each process adds to its own copy. A checkpoint then holds the sum.
        """
        self._states[name] = sum_over_ranks
        setattr(self, name, tensor)

    def to(self, device: torch.device) -> None:
        """Moves the tensors of `add_state`; costs nothing if they are there."""
        for name in self._states:
            tensor = getattr(self, name)
            if tensor.device != device:
                setattr(self, name, tensor.to(device))

    def reduce_states(self, context: ScoreContext) -> None:
        """Brings the sums of `add_state(sum_over_ranks=True)` to rank 0, and leaves 0 on the other processes."""
        for name, is_sum in self._states.items():
            if is_sum and context.world_size > 1:
                total = context.sum_over_ranks(getattr(self, name))
                setattr(self, name, total if context.rank == 0 else torch.zeros_like(total))

    def drop_sums(self) -> None:
        """Sets the sums of `add_state(sum_over_ranks=True)` to 0: on every process but the first, after a resume."""
        for name, is_sum in self._states.items():
            if is_sum:
                setattr(self, name, torch.zeros_like(getattr(self, name)))

    def state_dict(self) -> dict[str, Any]:
        """Returns the tensors of `add_state`, on the CPU. Override it together with `load_state_dict` to add more."""
        return {name: getattr(self, name).detach().cpu() for name in self._states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned. Raises InputError if tensors are missing or have another shape."""
        for name in self._states:
            found, own = state.get(name), getattr(self, name)
            if not isinstance(found, Tensor) or found.shape != own.shape:
                shape = tuple(found.shape) if isinstance(found, Tensor) else "nothing"
                raise InputError(
                    f"The checkpoint's state of {self.name} does not fit: {name!r} has shape {shape}, and this score "
                    f"expects {tuple(own.shape)}. Resume with the score that the run was started with."
                )
            setattr(self, name, found.to(device=own.device, dtype=own.dtype, copy=True))

    @property
    def _states(self) -> dict[str, bool]:
        """The names given to `add_state`, and which of them are sums; made when first asked for."""
        return self.__dict__.setdefault("_state_names", {})

    def __repr__(self) -> str:
        return self.fingerprint().partition(":")[2]


class FunctionScore(StatefulScore):
    """A plain function as a `StatefulScore`: no hook, and the state of an object that has one (`state_dict`).

    Its columns are those given, or the function's own attribute `columns`.
    """

    is_local = True

    def __init__(self, function: Score, columns: Sequence[str] = ()) -> None:
        self.function = function
        self.columns = tuple(columns or getattr(plain_function(function), "columns", ()))

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        return self.function(batch)

    @property
    def name(self) -> str:
        """The function's name."""
        plain = plain_function(self.function)
        return getattr(plain, "__name__", type(plain).__name__)

    def state_dict(self) -> dict[str, Any]:
        """Returns the function's own state, if it is an object that has `state_dict` and `load_state_dict`."""
        return dict(cast(Any, self.function).state_dict()) if self._has_state else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hands the function its own state."""
        if self._has_state:
            cast(Any, self.function).load_state_dict(state)

    @property
    def _has_state(self) -> bool:
        return all(callable(getattr(self.function, name, None)) for name in ("state_dict", "load_state_dict"))

    def fingerprint(self) -> str:
        """Returns the function's module and name, and its arguments or an object's settings if it has any."""
        return fingerprint_of(self.function)

    def __repr__(self) -> str:
        return self.name


def as_score(score: Any, columns: Sequence[str] = ()) -> StatefulScore:
    """Returns a score as a `StatefulScore`; a plain function is wrapped.

    Args:
        score: A `StatefulScore` or a function `score(batch) -> [B, T]`.
        columns: Columns of the rows that a plain function reads.

    Raises:
        InputError: For a name, a class, something that cannot be called, and an object with hooks that is not a
            `StatefulScore`; the message shows the line that works.

    >>> as_score(uniform)
    uniform
    >>> as_score("entropy")
    Traceback (most recent call last):
        ...
    maskwise.errors.InputError: A score is a function or an object such as Entropy(); found the text 'entropy'. \
A recipe's name goes to Masker.from_recipe('entropy', tokenizer).
    """
    if isinstance(score, StatefulScore):
        if columns and set(columns) != set(score.columns):
            raise InputError(f"{score.name} declares its own columns {score.columns}; leave out columns={columns!r}.")
        return score
    if isinstance(score, str):
        raise InputError(
            f"A score is a function or an object such as Entropy(); found the text {score!r}. "
            f"A recipe's name goes to Masker.from_recipe({score!r}, tokenizer)."
        )
    if isinstance(score, type):
        raise InputError(f"A score is an object, and {score.__name__} is its class: write {score.__name__}().")
    if hasattr(score, "get_input_embeddings"):
        raise InputError(
            f"A score is a function or an object such as Entropy(); found the model {type(score).__name__}. Write "
            "Entropy(model) to score by this model, Entropy() to score by the model in training."
        )
    if not callable(score):
        raise InputError(
            f"A score is a function score(batch) -> [B, T] or a StatefulScore; found {type(score).__name__}: {score!r}."
        )
    if hooks := sorted(_HOOKS & set(dir(type(score)))):
        name = type(score).__name__
        raise InputError(
            f"{name} has {', '.join(f'{hook}()' for hook in hooks)}, which is called for subclasses of StatefulScore "
            f"only: write class {name}(StatefulScore)."
        )
    return FunctionScore(cast(Score, score), columns)


def all_scores(score: StatefulScore) -> Iterator[StatefulScore]:
    """Yields a score and the scores inside it, outermost first."""
    yield score
    for part in score.parts():
        yield from all_scores(part)


class ScoreTree:
    """A score and all scores inside it as one thing with a state, for checkpoints."""

    def __init__(self, score: StatefulScore) -> None:
        self.scores = list(all_scores(score))

    def state_dict(self) -> dict[str, Any]:
        """Returns the states by place in the tree; scores without a state are left out."""
        states = {str(place): score.state_dict() for place, score in enumerate(self.scores)}
        return {place: state for place, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned. Raises InputError if it is of another score."""
        for place, score in enumerate(self.scores):
            score.load_state_dict(state.get(str(place), {}))
