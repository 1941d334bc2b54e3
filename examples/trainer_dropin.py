"""Entropy masking in an ordinary Hugging Face script: the masker stands where the collator stood.

python examples/trainer_dropin.py bert-base-uncased my-text.txt out
torchrun --nproc-per-node 2 examples/trainer_dropin.py bert-base-uncased my-text.txt out
"""

import sys
from pathlib import Path

from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainingArguments

from maskwise import Entropy, Masker, MaskingTrainer, tokenize_rows


def main(name, text, out, **options):
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForMaskedLM.from_pretrained(name)
    lines = [line for line in Path(text).read_text(encoding="utf-8").splitlines() if len(line) > 20]
    trainer = MaskingTrainer(  # was: Trainer
        model,
        TrainingArguments(out, gradient_accumulation_steps=4, bf16=True, logging_steps=1, **options),
        train_dataset=tokenize_rows(lines, tokenizer),
        masker=Masker(Entropy(), tokenizer, rate=0.15),  # was: DataCollatorForLanguageModeling
    )
    trainer.train()
    trainer.save_model(out)


if __name__ == "__main__":
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else -1
    main(*sys.argv[1:4], max_steps=steps, use_cpu="--cpu" in sys.argv)
