"""One process of a distributed training step: ``python ddp_worker.py FOLDER PROCESSES RANK`` writes ``FOLDER/RANK.pt``.

Only on this machine: the processes find each other through a file and talk over the loopback interface.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from wdam.insertion import insert


class Block(nn.Module):
    """A residual block without batch statistics, so that a batch can be split."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x) + x)


def gradients(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(images).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def main(folder: Path, processes: int, rank: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    torch.manual_seed(7)
    model = nn.Sequential(Block(), Block()).double()
    insert(model, "*")
    images = torch.randn(2 * processes, 4, 5, 7, dtype=torch.float64)
    alone = gradients(model, images)
    rendezvous = (folder / "rendezvous").as_uri()
    # Where the other process has failed, this one fails, too, and does not wait for ever.
    patience = timedelta(seconds=60)
    distributed.init_process_group("gloo", init_method=rendezvous, world_size=processes, rank=rank, timeout=patience)
    wrapped = nn.parallel.DistributedDataParallel(model)
    together = gradients(wrapped, images[2 * rank : 2 * rank + 2])
    plain = {name.removeprefix("module."): gradient for name, gradient in together.items()}
    torch.save({"alone": alone, "together": plain}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
