"""maskwise: choose which tokens to mask when a masked language model is trained, and measure whether it helped.

The public names of the library, each imported when first used: `import maskwise` costs nothing. What reads folders and
settings is `maskwise.lab`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwise.lazy import lazy_names

if TYPE_CHECKING:
    from maskwise.evaluation.held_out import make_held_out_eval
    from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood, pseudo_perplexity
    from maskwise.evaluation.surprisal import word_surprisal
    from maskwise.masking.collator import MaskingCollator
    from maskwise.masking.corrupt import corrupt
    from maskwise.masking.entropy import token_entropy
    from maskwise.masking.losses import distillation_loss, mlm_loss
    from maskwise.masking.masker import Masker
    from maskwise.masking.pick import pick
    from maskwise.masking.score import uniform
    from maskwise.recipes import load_recipe
    from maskwise.scores.model import Entropy, Surprisal
    from maskwise.scores.stored import Stored
    from maskwise.scores.typhoon import Typhoon
    from maskwise.training.trainer import MaskingTrainer

__all__ = [
    "Entropy",
    "Masker",
    "MaskingCollator",
    "MaskingTrainer",
    "Stored",
    "Surprisal",
    "Typhoon",
    "corrupt",
    "distillation_loss",
    "load_recipe",
    "make_held_out_eval",
    "mlm_loss",
    "pick",
    "pseudo_log_likelihood",
    "pseudo_perplexity",
    "token_entropy",
    "uniform",
    "word_surprisal",
]

_MODULES = {
    "Entropy": "maskwise.scores.model",
    "Masker": "maskwise.masking.masker",
    "MaskingCollator": "maskwise.masking.collator",
    "MaskingTrainer": "maskwise.training.trainer",
    "Stored": "maskwise.scores.stored",
    "Surprisal": "maskwise.scores.model",
    "Typhoon": "maskwise.scores.typhoon",
    "corrupt": "maskwise.masking.corrupt",
    "distillation_loss": "maskwise.masking.losses",
    "make_held_out_eval": "maskwise.evaluation.held_out",
    "load_recipe": "maskwise.recipes",
    "mlm_loss": "maskwise.masking.losses",
    "pick": "maskwise.masking.pick",
    "pseudo_log_likelihood": "maskwise.evaluation.pseudo_likelihood",
    "pseudo_perplexity": "maskwise.evaluation.pseudo_likelihood",
    "token_entropy": "maskwise.masking.entropy",
    "uniform": "maskwise.masking.score",
    "word_surprisal": "maskwise.evaluation.surprisal",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, elsewhere="maskwise.lab")
