import pytest
import torch

from maskwise.lab.weight_changes.parameter_groups import FUSED, OTHER, PARTS, PATTERNS, layer_of, part_of, split_fused


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("encoder.layer.0.attention.self.key.bias", "attention k"),
        ("encoder.layer.0.attention.output.dense.weight", "attention o"),
        ("encoder.layer.0.output.dense.weight", "feed-forward out"),
        ("encoder.layer.0.attention.output.LayerNorm.weight", "norms"),
        ("transformer.layer.0.ffn.lin1.weight", "feed-forward in"),
        ("layers.3.attn.Wo.weight", "attention o"),
        ("layers.3.mlp.Wo.weight", "feed-forward out"),
        ("encoder.layer.0.attention.attn.q.weight", "attention q"),
        ("encoder.layer.0.attention.self.pos_q_proj.weight", OTHER),
        ("pooler.dense.weight", "pooler"),
    ],
)
def test_a_parameters_name_tells_its_part(name, part):
    assert part_of(name) == part


def test_every_part_has_a_column():
    assert set(PATTERNS) - {FUSED} <= set(PARTS)


def test_layers_are_numbered_as_in_the_names():
    assert layer_of("encoder.albert_layer_groups.0.albert_layers.0.ffn.bias") == "0"
    assert layer_of("encoder.rel_embeddings.weight") == "embeddings"
    assert layer_of("final_norm.weight") == "top"


def test_debertas_fused_matrix_has_q_k_and_v_of_each_head_together():
    """Cut in thirds like ModernBERT's, k would hold rows of q and v."""
    rows = torch.arange(12.0)[:, None].expand(12, 5)  # 2 heads of q q k k v v
    parts = {part: tensor.reshape(-1, 5)[:, 0].tolist() for part, tensor in split_fused("in_proj.weight", rows, 2)}
    assert parts == {"attention q": [0, 1, 6, 7], "attention k": [2, 3, 8, 9], "attention v": [4, 5, 10, 11]}
    thirds = {part: tensor.reshape(-1, 5)[:, 0].tolist() for part, tensor in split_fused("Wqkv.weight", rows, 2)}
    assert thirds == {"attention q": [0, 1, 2, 3], "attention k": [4, 5, 6, 7], "attention v": [8, 9, 10, 11]}
