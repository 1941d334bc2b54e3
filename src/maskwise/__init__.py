"""maskwise: choose which tokens to mask when a masked language model is trained, and measure whether it helped.

The public names of the library, each imported when first used: `import maskwise` costs nothing. What reads folders and
settings is `maskwise.lab`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwise.lazy import lazy_names

if TYPE_CHECKING:
    from maskwise.errors import InputError
    from maskwise.evaluation.audit import check
    from maskwise.evaluation.held_out import make_held_out_eval
    from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood, pseudo_perplexity
    from maskwise.evaluation.surprisal import word_surprisal
    from maskwise.masking.collator import MaskingCollator
    from maskwise.masking.corrupt import corrupt
    from maskwise.masking.entropy import token_entropy
    from maskwise.masking.losses import distillation_loss, mlm_loss
    from maskwise.masking.masker import Masker
    from maskwise.masking.pick import pick
    from maskwise.masking.score import StatefulScore, uniform
    from maskwise.masking.score_context import ScoreContext, TrainState
    from maskwise.masking.tokenize import count_tokens, tokenize_rows
    from maskwise.recipes import load_recipe
    from maskwise.scores.model import Entropy, Surprisal
    from maskwise.scores.place_memory import CountMemory, PositionMemory
    from maskwise.scores.refreshed import RefreshedScores
    from maskwise.scores.store import store_scores
    from maskwise.scores.stored import Stored
    from maskwise.scores.token_feedback import TokenAccuracy, TokenEntropy, TokenLoss
    from maskwise.scores.typhoon import Typhoon
    from maskwise.training.distill import Distillation
    from maskwise.training.trainer import MaskingTrainer

__all__ = [
    "CountMemory",
    "Distillation",
    "Entropy",
    "InputError",
    "Masker",
    "MaskingCollator",
    "MaskingTrainer",
    "PositionMemory",
    "RefreshedScores",
    "ScoreContext",
    "StatefulScore",
    "Stored",
    "Surprisal",
    "TokenAccuracy",
    "TokenEntropy",
    "TokenLoss",
    "TrainState",
    "Typhoon",
    "check",
    "corrupt",
    "count_tokens",
    "distillation_loss",
    "load_recipe",
    "make_held_out_eval",
    "mlm_loss",
    "pick",
    "pseudo_log_likelihood",
    "pseudo_perplexity",
    "store_scores",
    "token_entropy",
    "tokenize_rows",
    "uniform",
    "word_surprisal",
]

__version__ = "0.1.0"

_MODULES = {
    "CountMemory": "maskwise.scores.place_memory",
    "Distillation": "maskwise.training.distill",
    "Entropy": "maskwise.scores.model",
    "InputError": "maskwise.errors",
    "Masker": "maskwise.masking.masker",
    "MaskingCollator": "maskwise.masking.collator",
    "MaskingTrainer": "maskwise.training.trainer",
    "PositionMemory": "maskwise.scores.place_memory",
    "RefreshedScores": "maskwise.scores.refreshed",
    "ScoreContext": "maskwise.masking.score_context",
    "StatefulScore": "maskwise.masking.score",
    "Stored": "maskwise.scores.stored",
    "Surprisal": "maskwise.scores.model",
    "TokenAccuracy": "maskwise.scores.token_feedback",
    "TokenEntropy": "maskwise.scores.token_feedback",
    "TokenLoss": "maskwise.scores.token_feedback",
    "TrainState": "maskwise.masking.score_context",
    "Typhoon": "maskwise.scores.typhoon",
    "check": "maskwise.evaluation.audit",
    "corrupt": "maskwise.masking.corrupt",
    "count_tokens": "maskwise.masking.tokenize",
    "distillation_loss": "maskwise.masking.losses",
    "load_recipe": "maskwise.recipes",
    "make_held_out_eval": "maskwise.evaluation.held_out",
    "mlm_loss": "maskwise.masking.losses",
    "pick": "maskwise.masking.pick",
    "pseudo_log_likelihood": "maskwise.evaluation.pseudo_likelihood",
    "pseudo_perplexity": "maskwise.evaluation.pseudo_likelihood",
    "store_scores": "maskwise.scores.store",
    "token_entropy": "maskwise.masking.entropy",
    "tokenize_rows": "maskwise.masking.tokenize",
    "uniform": "maskwise.masking.score",
    "word_surprisal": "maskwise.evaluation.surprisal",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, elsewhere="maskwise.lab")
