"""What the lines in README stand in: a network, data in batches, an optimiser, and a poisoned run recorded before."""

import torch
from torch import nn

from checkpoints import Recorder

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
loader = [(torch.randn(16, 4), torch.randint(3, (16,))) for _ in range(40)]
batches = loader[:2]
loss = torch.tensor(1.0)
with Recorder("poisoned.h5", model) as recorder:
    for step in range(5):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        recorder.record(step)
