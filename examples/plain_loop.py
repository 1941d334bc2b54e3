"""Whole-word masking in your own loop, inside the data loader's workers; no trainer and no model for the masks.

python examples/plain_loop.py bert-base-uncased my-text.txt
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForMaskedLM

from maskwise import Masker, MaskingCollator, tokenize_rows


def main(name, text, epochs=3, workers=2):
    rows = tokenize_rows(Path(text).read_text(encoding="utf-8").splitlines(), name, max_length=128)
    collator = MaskingCollator(Masker.from_recipe("whole-word", name))
    loader = DataLoader(rows, batch_size=32, shuffle=True, num_workers=workers, collate_fn=collator)
    model = AutoModelForMaskedLM.from_pretrained(name).train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-4), []
    for epoch in range(epochs):
        collator.set_epoch(epoch)  # each epoch has masks of its own
        for batch in loader:
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    print(main(*sys.argv[1:3])[-1])
