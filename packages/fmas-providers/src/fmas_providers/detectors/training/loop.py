"""The training loop that all detectors here share: seeded, resumable to the last bit, and never waiting for data.

Plain torch. Lightning Fabric and accelerate were considered and bring device placement, precision and distribution;
the first two are a dozen lines here, one product on one GPU needs no distribution, neither package makes a resumed
training end with the same weights, and both would have to be installed beside torch on every factory PC.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from fmas.detectors import TrainingProgress
from fmas_providers.detectors.options import TrainingOptions
from fmas_providers.detectors.training.batch import BatchT, Sampler
from fmas_providers.detectors.training.outcome import TrainingOutcome, Validated
from fmas_providers.detectors.training.prefetch import prefetched
from fmas_providers.detectors.training.surroundings import batch_workers, resolve_precision, seeded, threads
from fmas_providers.detectors.training.trainer import Trainer

__all__ = ["fit"]


def fit(
    network: nn.Module,
    sample: Sampler[BatchT],
    loss: Callable[[Tensor, BatchT], Tensor],
    validate: Callable[[nn.Module], Validated] | None,
    options: TrainingOptions,
    *,
    steps: int,
    identity: str,
    workspace: Path,
    progress: TrainingProgress | None = None,
) -> TrainingOutcome:
    """Train ``network``; afterwards it is on the chosen device, in evaluation mode, with the best weights.

    Killed at any moment and called again with the same arguments and a network of the same first weights, it goes on
    from the last checkpoint, and on a CPU it ends with the same weights bit for bit. A training that is done is
    not done again.

    Args:
        network: Called with a batch's ``pictures``. Parameters that need no gradient stay as they are.
        sample: Prepares the batch of a step, in another thread.
        loss: Mean loss of what the network returned, float32, and the batch it was called with.
        validate: Given the network in evaluation mode, says how well it does; ``None`` to keep the last weights.
        options: How to train.
        steps: How many batches to learn from.
        identity: Digest of options, data and whatever else the weights depend on; checkpoints of another are refused.
        workspace: Folder for the checkpoint.
        progress: Told about every step.

    Raises:
        ComponentError: If the loss or the validation score is not finite.
        ModelError: If the workspace holds a damaged checkpoint or another training's.
    """
    device, dtype = resolve_precision(options)
    with threads(options.threads), seeded(device, options.seed):
        trainer = Trainer(network, loss, validate, options, steps=steps, device=device, dtype=dtype)
        trainer.resume(workspace, identity)
        with prefetched(
            sample, trainer.done, trainer.stop, workers=batch_workers(device), pin=device.type == "cuda"
        ) as batches:
            while trainer.done < trainer.stop:
                with trainer.clock("waiting"):
                    batch = next(batches)
                values = trainer.learn(batch)
                trainer.check()
                trainer.save(workspace, identity)
                if progress is not None:
                    progress(trainer.done, steps, values)
        return trainer.finish()
