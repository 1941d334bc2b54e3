"""Every architecture of transformers' masked-LM mapping, built tiny from its configuration.

Shapes: B sequences, T positions, R rows asked for.
"""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, PreTrainedModel

VOCAB_SIZE, LENGTH = 97, 12

TINY = dict(
    vocab_size=VOCAB_SIZE,
    hidden_size=32,
    hidden_dropout_prob=0.0,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=64,
    embedding_size=16,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    cls_token_id=1,
    sep_token_id=2,
)
SEQ2SEQ = dict(d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=48, decoder_ffn_dim=48)
SEQ2SEQ |= dict(encoder_attention_heads=2, decoder_attention_heads=2)
VISION = dict(
    hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4
)

# What each architecture needs beyond TINY.
ARCHITECTURES: dict[str, dict] = {
    "albert": {},
    "bart": SEQ2SEQ,
    "bert": {},
    "big_bird": {},
    "camembert": {},
    "convbert": {},
    "data2vec-text": {},
    "deberta": {},
    "deberta-v2": {},
    "distilbert": dict(dim=32, hidden_dim=48, n_layers=2, n_heads=2),
    "electra": {},
    "ernie": {},
    "esm": {},
    "esmc": {},
    "eurobert": {},
    "flaubert": dict(emb_dim=32, n_layers=2, n_heads=2),
    "fnet": {},
    "funnel": dict(
        num_hidden_layers=None, block_sizes=[1, 1], num_decoder_layers=1, d_model=32, n_head=2, d_head=16, d_inner=48
    ),
    "gte": {},
    "ibert": {},
    "jina_embeddings_v3": {},
    "layoutlm": dict(max_2d_position_embeddings=32),
    "longformer": dict(attention_window=4),
    "luke": dict(entity_vocab_size=11, entity_emb_size=16),
    "mbart": SEQ2SEQ,
    "megatron-bert": {},
    "mobilebert": dict(intra_bottleneck_size=16, num_feedforward_networks=1),
    "modernbert": {},
    "modernvbert": dict(text_config=TINY | {"model_type": "modernbert"}, vision_config=VISION),
    "mpnet": {},
    "mra": {},
    "mvp": SEQ2SEQ,
    "neomme": dict(num_key_value_heads=1, head_dim=16, embedding_rank=16),
    "nomic_bert": {},
    "nystromformer": dict(segment_means_seq_len=LENGTH, num_landmarks=LENGTH),
    "perceiver": dict(
        d_model=32,
        d_latents=32,
        num_latents=6,
        num_self_attends_per_block=1,
        num_self_attention_heads=2,
        num_cross_attention_heads=2,
        max_position_embeddings=LENGTH,
    ),
    "reformer": dict(
        attn_layers=["local", "local"],
        attention_head_size=16,
        axial_pos_embds=False,
        feed_forward_size=48,
        local_attention_probs_dropout_prob=0.0,
        local_attn_chunk_length=4,
    ),
    "rembert": dict(input_embedding_size=16, output_embedding_size=24),
    "roberta": {},
    "roberta-prelayernorm": {},
    "roc_bert": dict(pronunciation_vocab_size=11, shape_vocab_size=11, pronunciation_embed_dim=8, shape_embed_dim=8),
    "roformer": {},
    "squeezebert": dict(
        embedding_size=32, **{f"{part}_groups": 2 for part in ("q", "k", "v", "intermediate", "output")}
    ),
    "tapas": dict(type_vocab_sizes=[3, 8, 8, 2, 8, 8, 10]),
    "ultrabert": {},
    "ultravbert": dict(text_config=TINY | {"model_type": "ultrabert"}, vision_config=VISION),
    "xlm": dict(emb_dim=32, n_layers=2, n_heads=2),
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "xmod": dict(default_language="en_XX"),
    "yoso": {},
}

# Their logits are another product than that of a linear decoder, so the fast path must step aside.
WITHOUT_DECODER = {"mobilebert", "perceiver"}


def random_model(architecture: str, **settings) -> PreTrainedModel:
    """Returns the architecture's masked-LM without dropout, no parameter at a special value such as 0 or 1.

    A model is built once for all tests of a session, and copied for each: building is what takes the time.
    """
    return copy.deepcopy(_built(architecture, **settings))


@functools.cache
def _built(architecture: str, **settings) -> PreTrainedModel:
    settings = TINY | ARCHITECTURES[architecture] | settings
    config = CONFIG_MAPPING[architecture](**{name: value for name, value in settings.items() if value is not None})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(config)
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    # Reformer's reversible layers have gradients in training mode only; it is built without dropout.
    return model.train(architecture == "reformer")


def random_batch(seed: int = 0) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids_BT, labels_BT = torch.randint(5, VOCAB_SIZE, (2, 3, LENGTH), generator=generator)
    rows_BT = torch.rand(3, LENGTH, generator=generator) < 0.3
    rows_BT[1] = False
    assert rows_BT.any()
    return {"input_ids": ids_BT}, rows_BT, labels_BT[rows_BT]
