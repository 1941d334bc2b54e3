"""Adapts a checkpoint to a domain's text, then fine-tunes it on a task, from Python.

python examples/domain_adaptation.py bert-base-uncased abstracts/ glue out
"""

import sys

from maskwise.lab import evaluate, finetune, prepare, pretrain


def main(checkpoint, texts, task_data, out, steps=1000, block=128, tune=None, **options):
    data = prepare(texts, out=f"{out}/data", tokenizer=checkpoint, block=block)
    recipe = {"recipe": "entropy-self-cold", "steps": steps}
    run = pretrain(data=data, checkpoint=checkpoint, out=f"{out}/run", **recipe, **options)
    print(evaluate([checkpoint, run], data).table())
    result = finetune(run, "sst2", task_data=task_data, seeds=range(2), settings=tune, out=f"{out}/tuned")
    print(result.table())
    return result


if __name__ == "__main__":
    main(*sys.argv[1:5])
