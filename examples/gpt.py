"""A small GPT that shares the weights of its embedding and its output: ``python -m examples.gpt --steps 200``."""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from checkpoints import Recorder  # added: 1

TEXT = Path(__file__).with_name("sonnets.txt").read_text()  # six of Shakespeare's
LETTERS = sorted(set(TEXT))
CONTEXT, WIDTH, HEADS = 32, 48, 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):  # [N, CONTEXT, WIDTH]
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(len(LETTERS), WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(LETTERS), bias=False)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.02)
        self.head.weight = self.token.weight  # tied

    def forward(self, tokens):  # [N, CONTEXT] to [N, CONTEXT, letters]
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.token(tokens) + self.position(positions))))


def make_model():
    return GPT()


def make_data():
    tokens = torch.tensor([LETTERS.index(letter) for letter in TEXT])
    windows = tokens.unfold(0, CONTEXT + 1, 4)
    inputs, targets = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    split, gap = int(0.9 * len(windows)), CONTEXT // 4 + 1  # no letter is in both
    return (inputs[: split - gap], targets[: split - gap]), (inputs[split:], targets[split:])


def loss(outputs, targets):
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="gpt.h5")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model, (train, test) = make_model(), make_data()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def test_loss():
        return loss(model(test[0]), test[1])

    with Recorder(args.out, model, every="dense", model_factory=GPT, data_factory=make_data) as recorder:  # added: 2
        for step in range(1, args.steps + 1):
            chosen = torch.randint(len(train[0]), (32,))
            value = loss(model(train[0][chosen]), train[1][chosen])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            recorder.step(epoch=32 * step / len(train[0]), batch_loss=value, test_loss=test_loss)  # added: 3
            if step % 50 == 0:
                with torch.no_grad():
                    print(f"step {step}: loss {value:.2f}, on other text {test_loss():.2f} nats")


if __name__ == "__main__":
    main()
