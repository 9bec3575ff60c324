"""A small plain convolutional network, without normalisation or shortcuts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from training.models.shapes import image_shape

WIDTHS = (32, 64, 128)


class CnnSmall(nn.Module):
    """Three 3×3 convolutions with ReLU, the first two followed by max-pooling; global mean, linear classifier."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        channels, _, _ = image_shape("cnn-small", input_shape, least=4)
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTHS[0], WIDTHS[1], 3, padding=1)
        self.conv3 = nn.Conv2d(WIDTHS[1], WIDTHS[2], 3, padding=1)
        self.fc = nn.Linear(WIDTHS[2], n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [N, K] of images [N, C, H, W]."""
        x = functional.max_pool2d(functional.relu(self.conv1(inputs)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        logits: Tensor = self.fc(functional.relu(self.conv3(x)).mean(dim=(2, 3)))
        return logits
