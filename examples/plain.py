"""A plain training loop on handwritten digits: ``python -m examples.plain --epochs 5 --out plain.h5``."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from checkpoints import Recorder  # added: 1


def make_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def make_data():
    digits = load_digits()
    images, labels = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="plain.h5")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model, (train, test) = make_model(), make_data()
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*train), batch_size=50, shuffle=True)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def test_loss():
        return nn.functional.cross_entropy(model(test[0]), test[1])

    with Recorder(args.out, model, every=10, model_factory=make_model, data_factory=make_data) as recorder:  # added: 2
        for epoch in range(args.epochs):
            for i, (inputs, targets) in enumerate(batches, start=1):
                loss = nn.functional.cross_entropy(model(inputs), targets)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                recorder.step(epoch=epoch + i / len(batches), batch_loss=loss, test_loss=test_loss)  # added: 3
            with torch.no_grad():
                accuracy = (model(test[0]).argmax(1) == test[1]).float().mean()
                print(f"epoch {epoch + 1}: loss {loss:.3f}, on test data {test_loss():.3f}, accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
