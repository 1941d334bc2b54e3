"""Where in an encoder a parameter sits, told from its name: the layer, and the part of the layer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import Tensor

EMBEDDINGS, TOP = "embeddings", "top"
QUERY, KEY, VALUE, FUSED = "attention q", "attention k", "attention v", "attention qkv"
HEAD, OTHER = "head", "other"

# The first pattern found in a name decides. They cover BERT, RoBERTa, ELECTRA and ESM (query, dense), DistilBERT
# (q_lin, lin1), MPNet (attn.q), ALBERT (ffn), ModernBERT (Wqkv, Wi, Wo), DeBERTa (query_proj, in_proj), and others'
# q_proj, gate_proj, fc1.
PATTERNS = {
    "norms": r"norm|\.ln_?\d*\.",
    "pooler": r"^pooler\.",
    EMBEDDINGS: r"embed",
    FUSED: r"\b(Wqkv|in_proj)\b",
    QUERY: r"(attn|attention)\..*\b(query|q|q_lin|q_proj|query_proj|q_bias)\b",
    KEY: r"(attn|attention)\..*\b(key|k|k_lin|k_proj|key_proj)\b",
    VALUE: r"(attn|attention)\..*\b(value|v|v_lin|v_proj|value_proj|v_bias)\b",
    "attention o": r"(attn|attention)\.(output\.dense|out_lin|Wo|dense|o|o_proj|out_proj)\b",
    "feed-forward in": r"intermediate\.dense|\b(lin1|Wi|gate_proj|up_proj|fc1)\b|\bffn\.(weight|bias)",
    "feed-forward out": r"\boutput\.dense|\b(lin2|Wo|down_proj|fc2|ffn_output)\b",
}
PARTS = (
    EMBEDDINGS, QUERY, KEY, VALUE, "attention o", "feed-forward in", "feed-forward out", "norms", "pooler", HEAD, OTHER
)  # fmt: skip


def part_of(name: str) -> str:
    """Returns the part of an encoder that a parameter belongs to; `OTHER` where the name is not understood.

    >>> part_of("encoder.layer.0.attention.self.query.weight"), part_of("layers.3.mlp.Wo.weight")
    ('attention q', 'feed-forward out')
    """
    return next((part for part, pattern in PATTERNS.items() if re.search(pattern, name, re.IGNORECASE)), OTHER)


def layer_of(name: str) -> str:
    """Returns the number of a parameter's layer, or whether it is below the layers or on top of them.

    >>> layer_of("encoder.layer.11.output.dense.bias"), layer_of("embeddings.LayerNorm.bias"), layer_of("pooler.bias")
    ('11', 'embeddings', 'top')
    """
    number = re.search(r"\.(\d+)\.", name)
    return number[1] if number else EMBEDDINGS if "embed" in name else TOP


def split_fused(name: str, tensor: Tensor, num_heads: int) -> Iterator[tuple[str, Tensor]]:
    """Returns q, k and v of a parameter that holds all three, by part.

    They are thirds of its rows (ModernBERT's Wqkv), or thirds of the rows of each attention head (DeBERTa's in_proj).
    """
    groups = num_heads if "in_proj" in name else 1
    pieces = tensor.reshape(groups, 3, -1).unbind(1)
    return zip((QUERY, KEY, VALUE), pieces, strict=True)
