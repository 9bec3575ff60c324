"""The networks: their layout, their seeds, what they compute."""

import pytest
import torch
from torch.nn import functional

from training import MODELS, build_model

IMAGE, FEATURES = (1, 28, 28), (12,)


def shapes(model):
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def test_linear_has_120_weights_for_the_toy():
    assert shapes(build_model("linear", FEATURES, 10, seed=0)) == {"fc.weight": (10, 12)}
    assert shapes(build_model("linear", IMAGE, 10, seed=0)) == {"fc.weight": (10, 784)}


def test_linear_is_a_matrix():
    model = build_model("linear", (3, 4, 4), 5, seed=0)
    x = torch.rand(6, 3, 4, 4)
    assert torch.equal(model(x), x.reshape(6, 48) @ model.fc.weight.T)


def test_mlp_layouts():
    assert shapes(build_model("mlp", FEATURES, 10, seed=0)) == {
        "0.weight": (32, 12),
        "0.bias": (32,),
        "2.weight": (32, 32),
        "2.bias": (32,),
        "4.weight": (10, 32),
        "4.bias": (10,),
    }
    assert list(shapes(build_model("mlp", IMAGE, 10, seed=0)).values()) == [(64, 784), (64,), (10, 64), (10,)]


def test_lenet_layout():
    assert shapes(build_model("lenet5", IMAGE, 10, seed=0)) == {
        "conv1.weight": (6, 1, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 12, 12), (3, 13, 30), (1, 29, 27)])
def test_lenet_computes_what_it_says_at_any_size(shape):
    model = build_model("lenet5", shape, 7, seed=0).double()
    x = torch.rand(4, *shape, dtype=torch.float64)
    w = dict(model.named_parameters())
    h = functional.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2).relu()
    h = functional.conv2d(functional.max_pool2d(h, 2), w["conv2.weight"], w["conv2.bias"]).relu()
    h = functional.max_pool2d(h, 2).reshape(4, -1)
    for layer in ("fc1", "fc2"):
        h = (h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]).relu()
    assert torch.allclose(model(x), h @ w["fc3.weight"].T + w["fc3.bias"], atol=1e-12)


def batch_norm(x, state, name):
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt() * weight[:, None, None] + bias[
        :, None, None
    ]


def test_resnet_small_computes_what_it_says():
    model = build_model("resnet-small", (3, 16, 16), 10, seed=0).double()
    x = torch.rand(8, 3, 16, 16, dtype=torch.float64)
    model(x)  # moves the running statistics away from their start
    model.eval()
    state = model.state_dict()

    def conv(x, name, stride=1, padding=1):
        return functional.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)

    h = batch_norm(conv(x, "stem"), state, "bn").relu()
    for block, stride in (("l1", 1), ("l2", 2), ("l3", 2)):
        inner = batch_norm(conv(h, f"{block}.conv1", stride), state, f"{block}.bn1").relu()
        inner = batch_norm(conv(inner, f"{block}.conv2"), state, f"{block}.bn2")
        if stride == 2:
            h = batch_norm(conv(h, f"{block}.down.0", 2, 0), state, f"{block}.down.1")
        h = (h + inner).relu()
    expected = h.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    assert torch.allclose(model(x), expected, atol=1e-10)
    widths = [state[f"{block}.conv2.weight"].shape[0] for block in ("l1", "l2", "l3")]
    assert widths == [16, 32, 64]


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("resnet18", (3, 32, 32), 11_173_962),
        ("resnet18", (3, 224, 224), 11_181_642),
        ("resnet50", (3, 32, 32), 23_520_842),
        ("senet18", (3, 32, 32), 11_263_042),
        ("vit-small", (3, 32, 32), 21_342_346),
        ("vit-small", (3, 224, 224), 21_669_514),
        ("cnn-small", (3, 32, 32), 94_538),
    ],
)
def test_large_networks_have_the_known_number_of_parameters(name, shape, count):
    assert sum(p.numel() for p in build_model(name, shape, 10, seed=0).parameters()) == count


@pytest.mark.parametrize(("size", "stem"), [(32, 3), (95, 3), (96, 7)])
def test_the_stem_of_a_resnet_follows_the_image(size, stem):
    model = build_model("resnet18", (1, size, size), 10, seed=0)
    assert model.conv1.weight.shape == (64, 1, stem, stem)
    features = model.layer1(model.maxpool(model.conv1(torch.rand(1, 1, size, size))))
    assert features.shape[2] == (size if stem == 3 else size // 4)


def test_senet_weighs_channels_before_the_shortcut():
    model = build_model("senet18", (3, 8, 8), 4, seed=0).eval()
    block, x = model.layer1[0], torch.rand(2, 64, 8, 8)
    inner = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    squeezed = inner.mean(dim=(2, 3)) @ block.se.fc1.weight[:, :, 0, 0].T + block.se.fc1.bias
    weights = (squeezed.relu() @ block.se.fc2.weight[:, :, 0, 0].T + block.se.fc2.bias).sigmoid()
    assert torch.allclose(block(x), (inner * weights[:, :, None, None] + x).relu(), atol=1e-6)


def test_no_layer_starts_at_zero():
    for name in MODELS:  # a radius relative to a norm of zero would be none
        model = build_model(name, (3, 32, 32), 4, seed=0)
        assert all(
            part.weight.any() for part in model.modules() if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))
        )


@pytest.mark.parametrize("name", sorted(MODELS))
def test_initial_weights_depend_on_the_seed_alone(name):
    first = build_model(name, IMAGE, 10, seed=5).state_dict()
    torch.rand(3)
    again = build_model(name, IMAGE, 10, seed=5).state_dict()
    other = build_model(name, IMAGE, 10, seed=6).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_building_leaves_the_global_random_state(name):
    before = torch.get_rng_state()
    build_model(name, IMAGE, 10, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_every_network_takes_images_and_can_learn(name, shape):
    model = build_model(name, shape, 4, seed=0)
    logits = model(torch.rand(5, *shape))
    assert logits.shape == (5, 4)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("lenet", IMAGE, "did you mean lenet5"),
        ("zzz", IMAGE, "known are linear, mlp, lenet5, resnet-small"),
        ("lenet5", FEATURES, r"at least 12×12 pixels, not inputs of shape \[12\]"),
        ("lenet5", (1, 28, 11), r"not inputs of shape \[1, 28, 11\]"),
        ("resnet-small", FEATURES, "resnet-small takes images"),
        ("resnet18", FEATURES, r"resnet18 takes images, not inputs of shape \[12\]"),
        ("vit-small", (3, 30, 30), "whole 4×4 patches, not 30×30"),
        ("vit-small", (3, 32, 64), "square images"),
        ("cnn-small", (3, 3, 3), "at least 4×4 pixels"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(name, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_model(name, shape, 10, seed=0)
