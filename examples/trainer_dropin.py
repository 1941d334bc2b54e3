"""Entropy masking in an ordinary Hugging Face script: the masker stands where the collator stood.

python examples/trainer_dropin.py bert-base-uncased my-text.txt out
torchrun --nproc-per-node 2 examples/trainer_dropin.py bert-base-uncased my-text.txt out
"""

import sys

from datasets import load_dataset
from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainingArguments

from maskwise import Entropy, Masker, MaskingTrainer


def main(name: str, text: str, out: str, *, max_steps: int = -1, use_cpu: bool = False) -> None:
    """Continues the pretraining of `name` on the lines of `text`, masking what the model is least certain of."""
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForMaskedLM.from_pretrained(name)
    lines = load_dataset("text", data_files=text, split="train").filter(lambda row: len(row["text"]) > 20)
    blocks = lines.map(
        lambda row: {"input_ids": tokenizer(row["text"], truncation=True)["input_ids"]},
        remove_columns="text",
    )
    trainer = MaskingTrainer(  # was: Trainer
        model,
        TrainingArguments(
            out, gradient_accumulation_steps=4, bf16=True, max_steps=max_steps, use_cpu=use_cpu, logging_steps=1
        ),
        train_dataset=blocks,
        masker=Masker(Entropy(), tokenizer, pick="high", rate=0.15),  # was: DataCollatorForLanguageModeling
    )
    trainer.train()
    trainer.save_model(out)


if __name__ == "__main__":
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else -1
    main(*sys.argv[1:4], max_steps=steps, use_cpu="--cpu" in sys.argv)
