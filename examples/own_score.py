"""An own score with a state: the more often a token type was masked, the less it is masked from then on.

python examples/own_score.py bert-base-uncased my-text.txt out
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainingArguments

from maskwise import Masker, MaskingTrainer, StatefulScore, tokenize_rows


class LeastMasked(StatefulScore):
    wants_gradients = True  # asks for `observe`

    def __init__(self, vocabulary_size):
        self.add_state("counts", torch.zeros(vocabulary_size), sum_over_ranks=True)  # checkpoints keep it

    def __call__(self, batch):
        return 1 / (1 + self.counts[batch["input_ids"]])

    def observe(self, batch, gradients_BTD):
        masked = batch["labels"][batch["labels"] >= 0]
        self.counts += torch.bincount(masked, minlength=len(self.counts))


def main(name, text, out, **options):
    rows = tokenize_rows(Path(text).read_text(encoding="utf-8").splitlines(), name, max_length=128)
    masker = Masker(LeastMasked(len(AutoTokenizer.from_pretrained(name))), name)
    model, args = AutoModelForMaskedLM.from_pretrained(name), TrainingArguments(out, **options)
    trainer = MaskingTrainer(model, args, masker=masker, train_dataset=rows)
    trainer.train()
    return trainer


if __name__ == "__main__":
    main(*sys.argv[1:4])
