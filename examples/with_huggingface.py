"""A small vision transformer and Hugging Face's Trainer: ``python -m examples.with_huggingface --epochs 8``.

Needs pip install -e '.[huggingface]'; nothing is downloaded.
"""

import argparse
import tempfile

import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification, set_seed

from checkpoints.huggingface import RecorderCallback  # added: 1


class DigitsForImageClassification(ViTForImageClassification):
    def forward(self, pixel_values, labels=None):
        outputs = super().forward(pixel_values, labels=labels)
        return outputs.logits if labels is None else outputs  # what measures it wants [N, 10]


def make_model():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    return DigitsForImageClassification(ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, **sizes))


def make_data():
    digits = load_digits()
    images, labels = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def accuracy(predicted):
    return {"accuracy": float((predicted.predictions.argmax(1) == predicted.label_ids).mean())}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="huggingface.h5")
    args = parser.parse_args()

    set_seed(args.seed)
    model = make_model()
    train, test = ([{"pixel_values": x, "labels": y} for x, y in zip(*part, strict=True)] for part in make_data())
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=50,
            learning_rate=3e-3,
            logging_steps=10,
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            seed=args.seed,
        )
        trainer = Trainer(model, settings, train_dataset=train, eval_dataset=test, compute_metrics=accuracy)
        recorder = RecorderCallback(args.out, every=10, model_factory=make_model, data_factory=make_data)  # added: 2
        trainer.add_callback(recorder)  # added: 3
        trainer.train()


if __name__ == "__main__":
    main()
