"""Blocks of a network, and the weights that are none."""

from torch import nn

from landscape import model_blocks, uncounted_weights


def test_weights_that_are_no_block_are_named():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    model = nn.Sequential(nn.Embedding(5, 8), layer, nn.LayerNorm(8), nn.Linear(8, 5, bias=False))
    assert uncounted_weights(model) == ["0.weight", "1.self_attn.in_proj_weight"]
    model[3].weight = model[0].weight  # tied: it counts, once
    model[1].self_attn.in_proj_weight.requires_grad_(False)
    assert uncounted_weights(model) == []
    counted = {block.parameter for block in model_blocks(model)}
    assert "0.weight" in counted
