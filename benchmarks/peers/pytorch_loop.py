"""PyTorch, eager and compiled. Runs in an environment with only PyTorch."""

from collections.abc import Callable

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (its usual name)

from benchmarks.peers.work import HIDDEN
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import shuffle_indices
from benchmarks.peers.work import time_call

FORMATS = (torch.contiguous_format, torch.channels_last)
# Steps that measure a memory format, after as many for warm-up.
TRIED = 3


class Cnn(nn.Module):
    """The course's CNN."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(3136, 1024)
        self.fc2 = nn.Linear(1024, 10)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns logits (batch, 10) of images (batch, 1, 28, 28)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(F.dropout(x, 0.5, self.training))


class Perceptron(nn.Module):
    """The course's perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(784, 10)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns logits (batch, 10) of images (batch, 1, 28, 28)."""
        return self.fc(x.flatten(1))


class Mlp(nn.Module):
    """The network of two hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, HIDDEN)
        self.fc2 = nn.Linear(HIDDEN, HIDDEN)
        self.fc3 = nn.Linear(HIDDEN, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns logits (batch, 10) of images (batch, 1, 28, 28)."""
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


NETWORKS = {"cnn": Cnn, "perceptron": Perceptron, "mlp": Mlp}


def make_eager(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures the loop in the faster format."""
    loops = {kind: make_loop(work, data, kind, False) for kind in FORMATS}
    return make_measurement(loops[find_faster(loops)], work)


def make_compiled(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures the loop of a compiled network."""
    loops = {kind: make_loop(work, data, kind, True) for kind in FORMATS}
    return make_measurement(loops[find_faster(loops)], work)


def find_faster(
    loops: dict[torch.memory_format, Callable[[int], None]],
) -> torch.memory_format:
    """Returns the format whose loop is faster."""
    seconds = {}
    for kind, run in loops.items():
        run(TRIED)
        seconds[kind] = time_call(lambda run=run: run(TRIED))
    return min(seconds, key=seconds.__getitem__)


def make_measurement(run: Callable[[int], None], work: Work) -> Measurement:
    """Returns a function that measures a loop."""
    return lambda: time_call(lambda: run(work.steps))


def make_loop(
    work: Work, data: Mnist, kind: torch.memory_format, compiled: bool
) -> Callable[[int], None]:
    """Returns a function that trains for a number of steps."""
    torch.manual_seed(work.seed)
    network = NETWORKS[work.model]().to(memory_format=kind)
    optimizers = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    optimizer = optimizers[work.recipe.optimizer](
        network.parameters(), work.recipe.learning_rate, fused=True
    )
    scale = work.recipe.loss_scale(work.batch_size)

    def compute_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast(
            "cpu", torch.bfloat16, enabled=work.precision == "bfloat16"
        ):
            logits = network(x)
        return scale * F.cross_entropy(logits.float(), y, reduction="sum")

    step_loss = torch.compile(compute_loss) if compiled else compute_loss
    images = torch.from_numpy(data.train.images[:, None].copy())
    labels = torch.from_numpy(data.train.labels.astype("int64"))
    order = shuffle_indices(len(labels), work.batch_size, work.seed)

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = torch.from_numpy(next(order))
            x = images[chosen].to(torch.float32, memory_format=kind) / 255
            optimizer.zero_grad(set_to_none=True)
            step_loss(x, labels[chosen]).backward()
            optimizer.step()

    return run
