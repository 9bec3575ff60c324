"""Fine-tuning the later layers of ResNet-18 on handwritten digits: ``python -m examples.resnet18 --steps 60``.

The weights are random, so that nothing is downloaded; give ``resnet18(weights="DEFAULT")`` those of ImageNet.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torchvision.models import resnet18

from checkpoints import Recorder  # added: 1


def make_model():
    model = resnet18()
    for layer in (model.conv1, model.bn1, model.layer1, model.layer2):
        layer.requires_grad_(False)
    model.fc = nn.Linear(512, 10)
    return model


def make_data():
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)
    images, labels = nn.functional.interpolate(images, size=32, mode="bilinear"), torch.tensor(digits.target)
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="resnet18.h5")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model, (train, test) = make_model(), make_data()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def test_loss():
        return nn.functional.cross_entropy(model(test[0]), test[1])

    with Recorder(args.out, model, every=20, model_factory=make_model, data_factory=make_data) as recorder:  # added: 2
        for step in range(1, args.steps + 1):
            chosen = torch.randint(len(train[0]), (32,))
            loss = nn.functional.cross_entropy(model(train[0][chosen]), train[1][chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            recorder.step(epoch=32 * step / len(train[0]), batch_loss=loss, test_loss=test_loss)  # added: 3
            if step % 10 == 0:
                print(f"step {step}: loss {loss:.3f}")
    model.eval()
    with torch.no_grad():
        print(f"test accuracy {(model(test[0]).argmax(1) == test[1]).float().mean():.1%}")


if __name__ == "__main__":
    main()
