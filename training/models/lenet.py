"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998) in its common form with ReLU and max-pooling."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class LeNet5(nn.Module):
    """conv 6@5×5 (padding 2), pool, conv 16@5×5, pool, then 120, 84 and K units."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 12:
            raise ValueError(f"LeNet-5 takes images of at least 12×12 pixels, not inputs of shape {list(input_shape)}.")
        channels, height, width = input_shape
        flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(flat, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [N, K] of images [N, C, H, W]."""
        x = functional.max_pool2d(functional.relu(self.conv1(inputs)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2).flatten(1)
        x = functional.relu(self.fc2(functional.relu(self.fc1(x))))
        logits: Tensor = self.fc3(x)
        return logits
