"""Lightning on handwritten digits: ``python -m examples.with_lightning --epochs 3``; pip install -e '.[lightning]'."""

import argparse

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn

from checkpoints.lightning import RecorderCallback  # added: 1


class Digits(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10)
        )

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch):
        outputs = self(batch[0])
        self.log("test_loss", nn.functional.cross_entropy(outputs, batch[1]))
        self.log("test_accuracy", (outputs.argmax(1) == batch[1]).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        optimiser = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        return [optimiser], [torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.7)]


def make_model():
    return Digits()


def make_data():
    digits = load_digits()
    images, labels = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="lightning.h5")
    args = parser.parse_args()

    seed_everything(args.seed)
    model, (train, test) = make_model(), (torch.utils.data.TensorDataset(*part) for part in make_data())
    trainer = Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[RecorderCallback(args.out, every=10, model_factory=make_model, data_factory=make_data)],  # added: 2
    )
    load = torch.utils.data.DataLoader
    trainer.fit(model, load(train, batch_size=50, shuffle=True), load(test, batch_size=300))


if __name__ == "__main__":
    main()
