"""Networks of several tasks: what their heads give, what they share, and that all else can work on them."""

import pytest
import torch

from analysis import sharpness_aware_learnability
from landscape import evaluate_points, random_plane
from landscape.parameters import ParameterLayout
from landscape.program import INPUT, agrees, prepare_steps, run_steps
from landscape.tracing import trace
from tests.training.tasks.samples import dense_images
from training import build_model
from training.tasks import TASKS, pack_targets, task_loss

SHAPE = (3, 16, 16)


def net(name="resnet-small", shape=SHAPE, tasks=TASKS, **options):
    return build_model(name, shape, 3, seed=0, tasks=tasks, **options)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet-small", (3, 16, 20)), ("resnet18", (3, 32, 32)), ("resnet18", (3, 64, 64)), ("resnet50", (1, 96, 128))],
)
def test_shapes_of_the_heads(name, shape):
    model = net(name, shape).eval()
    x, size = torch.rand(1, *shape), shape[1:]
    shapes = {"scene": (1, 3), "segment_unsup2d": (1, 16, *size)}
    with torch.inference_mode():
        for task in TASKS:
            model.task = task
            assert model(x).shape == shapes.get(task, (1, *size))
        model.task = None
        assert model(x).shape == (1, 3 + 18 * size[0] * size[1])


def test_a_task_moves_the_backbone_and_its_own_head_alone():
    model = net()
    for task in TASKS:
        model.task = task
        model.zero_grad()
        model(torch.rand(2, *SHAPE)).square().sum().backward()
        moved = {
            name.split(".")[1] for name, p in model.named_parameters() if name[:5] == "heads" and p.grad is not None
        }
        assert moved == {task}
        assert all(p.grad is not None for p in model.backbone.parameters())


def test_a_single_task_network_is_the_part_of_the_joint_one():
    alone, joint = net(tasks=("scene",)), net()
    assert dict(alone.backbone.named_parameters()).keys() == dict(joint.backbone.named_parameters()).keys()
    assert list(alone.heads) == ["scene"]


def test_group_norm_leaves_no_statistics():
    model = net(norm="group")
    assert not list(model.buffers())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    x = torch.rand(4, *SHAPE)
    assert torch.allclose(model(x)[:2], model(x[:2]), atol=1e-5)


@pytest.mark.parametrize("task", [None, *TASKS])
def test_the_network_is_traced_and_measured_like_any_other(task):
    images, labels, dense = dense_images(n=6)
    model = net().eval()
    model.task = task
    program = trace(model)
    assert program is not None
    x, tensors = torch.from_numpy(images[:3]), {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        prepared = prepare_steps(program.steps, tensors, True)
        found = run_steps(program.steps, {INPUT: x}, prepared, {program.output})[program.output]
        assert agrees(model(x), found)
    if task is None:
        return
    batches, loss = [(torch.from_numpy(images), pack_targets(labels, dense))], task_loss(task, SHAPE[1:])
    point = ParameterLayout.from_model(model).vector(model)
    (found,) = evaluate_points(model, [point], batches, loss=loss).loss
    with torch.no_grad():
        assert found == pytest.approx(float(loss(model(batches[0][0]), batches[0][1])), rel=1e-5)
    blocks = sharpness_aware_learnability(model, batches, loss=loss, method="gradient")
    for block in blocks:
        mine = block.name.startswith(("backbone", f"heads.{task}"))
        assert (block.sal > 0) == mine


def test_a_plane_through_it_is_filter_normalised():
    plane = random_plane(net(), seed=0)
    assert plane.axes.shape == (2, sum(p.numel() for p in net().parameters()))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "lenet5"}, "resnet-small, resnet18, resnet50, not 'lenet5'"),
        ({"norm": "layer"}, "'batch' or 'group', not 'layer'"),
        ({"shape": (3, 18, 16)}, "multiples of 4 pixels, not 18×16"),
        ({"shape": (12,)}, "takes images"),
    ],
)
def test_impossible_networks_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        net(**arguments)
