"""Time and memory of WDAM on a GPU, in copies of the feature map, beside everything else that computes it.

One command measures all and writes JSON and a Markdown table::

    python packages/wdam/benchmarks/bench_gpu.py --out gpu.json

A *copy* is ``y.copy_(x)`` on the same tensor in the same run: reading and writing it once. The least that any WDAM can
do is 1.5 copies forward and 2 backward. Without a GPU nothing is measured and nothing is written.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import wdam

Work: TypeAlias = Callable[[], object]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PACKAGES = ("wdam", "torch", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "triton", "ptwt", "pytorch_wavelets")


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds over the repeats.

    Attributes:
        median: The middle one.
        low: First quartile.
        high: Third quartile.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured; what could not be is None, with the reason in ``note``."""

    name: str
    forward: Timing | None = None
    both: Timing | None = None
    forward_copies: float | None = None
    both_copies: float | None = None
    inference_memory: float | None = None
    training_memory: float | None = None
    note: str = ""


class NaiveWDAM(nn.Module):
    """WDAM as one writes it down: strided grouped convolution, pooling, perceptron, transposed convolution."""

    def __init__(self, like: wdam.WDAM) -> None:
        super().__init__()
        self.channels, self.mlp = like.channels, like.mlp
        signs = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
        self.register_buffer("filters", signs.view(4, 1, 2, 2).repeat(like.channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output for even sizes."""
        filters = self.filters.to(x.dtype)
        bands = F.conv2d(x, filters, stride=2, groups=self.channels)
        n, _, h, w = bands.shape
        # The perceptron reads all channels of LL first.
        pooled = bands.view(n, self.channels, 4, h, w).transpose(1, 2).flatten(1, 2)
        logits = self.mlp(pooled.mean((-2, -1)).float()) + self.mlp(pooled.amax((-2, -1)).float())
        weights = torch.sigmoid(logits).to(x.dtype).repeat(1, self.channels)[:, :, None, None]
        return x + F.conv_transpose2d(bands * weights, filters, stride=2, groups=self.channels)


class LibraryWDAM(nn.Module):
    """The same with another library's transforms."""

    def __init__(self, like: wdam.WDAM, split: Callable[[Tensor], list[Tensor]], merge: Callable[..., Tensor]) -> None:
        super().__init__()
        self.mlp, self.split, self.merge = like.mlp, split, merge

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output."""
        bands = self.split(x)
        pooled = torch.cat(bands, 1)
        logits = self.mlp(pooled.mean((-2, -1))) + self.mlp(pooled.amax((-2, -1)))
        weights = torch.sigmoid(logits)[:, :, None, None, None]
        return x + self.merge([band * weights[:, k] for k, band in enumerate(bands)])


def _pytorch_wavelets(like: wdam.WDAM) -> nn.Module:
    from pytorch_wavelets import DWTForward, DWTInverse

    forward, inverse = DWTForward(J=1, wave="haar", mode="symmetric").cuda(), DWTInverse(wave="haar").cuda()

    def split(x: Tensor) -> list[Tensor]:
        low, [high] = forward(x)
        return [low, *high.unbind(2)]

    return LibraryWDAM(like, split, lambda bands: inverse((bands[0], [torch.stack(bands[1:], 2)])))


def _ptwt(like: wdam.WDAM) -> nn.Module:
    import ptwt

    def split(x: Tensor) -> list[Tensor]:
        low, details = ptwt.wavedec2(x, "haar", level=1, mode="symmetric")
        return [low, *details]

    return LibraryWDAM(like, split, lambda bands: ptwt.waverec2((bands[0], tuple(bands[1:])), "haar"))


def timed(work: Work, options: argparse.Namespace) -> Timing:
    """Return how long ``work`` keeps the GPU busy, measured with events around each repeat."""
    for _ in range(options.warmup):
        work()
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(options.repeats)]
    torch.cuda.synchronize()
    for start, stop in pairs:
        start.record()
        work()
        stop.record()
    torch.cuda.synchronize()
    times = [start.elapsed_time(stop) for start, stop in pairs]
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return Timing(median, low, high)


def peak(work: Work, size: int) -> float:
    """Return the most memory that ``work`` holds beside what was there before, in sizes of the feature map."""
    work()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / size


def reason_of(error: Exception) -> str:
    """Return the first line of an error, for a table's cell."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0].replace("|", "/")


def measure(name: str, make: Callable[[], nn.Module], x: Tensor, copy: Timing, options: argparse.Namespace) -> Row:
    """Return times and memory of one module, forward alone and with backward."""
    size = x.numel() * x.element_size()
    leaf = x.detach().requires_grad_()
    dy = torch.ones_like(x)

    def infer() -> object:
        with torch.no_grad():
            return module(x)

    def train() -> object:
        return torch.autograd.grad(module(leaf), (leaf, *module.parameters()), dy)

    try:  # one that cannot be imported, compiled or held in memory must not cost the numbers of the others
        module = make()
        forward, both = timed(infer, options), timed(train, options)
        memory = peak(infer, size), peak(train, size)
    except Exception as error:  # noqa: BLE001 - anything that another library comes up with
        return Row(name, note=reason_of(error))
    finally:
        torch.cuda.empty_cache()
    ratios = forward.median / copy.median, both.median / copy.median
    return Row(name, forward, both, *ratios, *memory)


def modules(x: Tensor) -> list[tuple[str, Callable[[], nn.Module]]]:
    """Return what is compared; each is made only when its turn comes."""
    ours = wdam.WDAM(x.shape[1], backend="cuda").cuda()
    plain = wdam.WDAM(x.shape[1], backend="torch").cuda()
    found: list[tuple[str, Callable[[], nn.Module]]] = [
        ("wdam, CUDA kernels", lambda: ours),
        ("wdam, plain PyTorch", lambda: plain),
        ("naive (convolutions), eager", lambda: NaiveWDAM(ours).cuda()),
        ("naive (convolutions), compiled", lambda: torch.compile(NaiveWDAM(ours).cuda())),
    ]
    if x.is_contiguous() and x.dtype == torch.float32:
        libraries = (("pytorch_wavelets", _pytorch_wavelets), ("ptwt", _ptwt))
        for name, make in libraries:
            if importlib.util.find_spec(name) is not None:
                found.append((name, lambda make=make: make(ours)))
    return found


def transforms(x: Tensor, copy: Timing, options: argparse.Namespace) -> list[Row]:
    """Return times and memory of the transforms alone; sub-bands lie apart, as :func:`wdam.dwt2` returns them."""
    rows = []
    for wavelet in ("haar", "db4"):

        def analyse(x: Tensor, wavelet: str = wavelet) -> tuple[Tensor, ...]:
            approximation, details = wdam.dwt2(x, wavelet)
            return (approximation, *details)

        def synthesise(*bands: Tensor, wavelet: str = wavelet) -> tuple[Tensor, ...]:
            return (wdam.idwt2((bands[0], bands[1:]), wavelet),)

        rows.append(measure_transform(f"dwt2 {wavelet}", analyse, (x,), copy, options))
        rows.append(measure_transform(f"idwt2 {wavelet}", synthesise, analyse(x), copy, options))
    return rows


def measure_transform(
    name: str,
    transform: Callable[..., tuple[Tensor, ...]],
    inputs: tuple[Tensor, ...],
    copy: Timing,
    options: argparse.Namespace,
) -> Row:
    """Return times and memory of one direction, forward alone and with backward; memory in sizes of its inputs."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in inputs)
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    gradients = [torch.ones_like(result) for result in transform(*inputs)]

    def infer() -> object:
        with torch.no_grad():
            return transform(*inputs)

    def train() -> object:
        return torch.autograd.grad(transform(*leaves), leaves, gradients)

    forward, both = timed(infer, options), timed(train, options)
    ratios = forward.median / copy.median, both.median / copy.median
    return Row(name, forward, both, *ratios, peak(infer, size), peak(train, size))


def whole_network(options: argparse.Namespace) -> dict[str, Any] | str:
    """Return the step time of WideResNet50-2 without and with WDAM in layer1, or why it was not measured."""
    if importlib.util.find_spec("torchvision") is None:
        return "torchvision is not installed"
    from torchvision.models import wide_resnet50_2

    images = torch.randn(options.batch, 3, 224, 224, device="cuda").contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(options.batch, dtype=torch.int64, device="cuda")
    steps = {}
    for name in ("without", "with"):
        torch.manual_seed(0)
        model = wide_resnet50_2(num_classes=3)
        if name == "with":
            wdam.insert(model, "layer1.*")
        model = model.cuda().to(memory_format=torch.channels_last)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01)

        def step(model: nn.Module = model, optimiser: torch.optim.Optimizer = optimiser) -> None:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16):
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()

        steps[name] = timed(step, options)
        del model, optimiser
        torch.cuda.empty_cache()
    added = steps["with"].median / steps["without"].median - 1
    return {
        "batch": options.batch,
        "autocast": "bfloat16",
        "memory_format": "channels_last",
        "milliseconds": {name: asdict(timing) for name, timing in steps.items()},
        "added_percent": 100 * added,
    }


def environment() -> dict[str, Any]:
    """Return what the numbers depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": versions,
    }


def _driver() -> str | None:
    import shutil
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None


def table(title: str, rows: list[Row]) -> str:
    """Return rows as Markdown."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    lines = [
        f"### {title}",
        "",
        "| | forward, copies | forward + backward, copies | peak, inference | peak, training | note |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row.forward_copies, row.both_copies, row.inference_memory, row.training_memory)
        lines.append(f"| {row.name} | {' | '.join(number(cell) for cell in cells)} | {row.note} |")
    return "\n".join(lines) + "\n"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything and return it."""
    results: dict[str, Any] = {"command": " ".join(sys.argv), "environment": environment(), "runs": []}
    for dtype in options.dtypes:
        for layout in options.layouts:
            sample = options.channels * options.size**2 * torch.finfo(DTYPES[dtype]).bits // 8
            shape = (max(1, round(options.gib * 2**30 / sample)), options.channels, options.size, options.size)
            x = torch.randn(shape, device="cuda", dtype=DTYPES[dtype]).contiguous(memory_format=LAYOUTS[layout])
            target = torch.empty_like(x)
            copy = timed(lambda x=x, target=target: target.copy_(x), options)
            del target
            rows = []
            for name, make in modules(x):
                rows.append(measure(name, make, x, copy, options))
                sys.stderr.write(f"{dtype} {layout} {name}: {rows[-1].forward_copies} {rows[-1].both_copies}\n")
            if layout == "contiguous":
                rows += transforms(x, copy, options)
            results["runs"].append(
                {
                    "dtype": dtype,
                    "layout": layout,
                    "shape": shape,
                    "bytes": x.numel() * x.element_size(),
                    "copy_milliseconds": asdict(copy),
                    "copy_bytes_per_second": 2 * x.numel() * x.element_size() / (copy.median / 1000),
                    "rows": [asdict(row) for row in rows],
                }
            )
            sys.stdout.write(table(f"{dtype}, {layout}, {shape}", rows) + "\n")
            del x
            torch.cuda.empty_cache()
    try:
        results["wide_resnet50_2"] = whole_network(options)
    except Exception as error:  # noqa: BLE001 - what was measured before is worth keeping
        results["wide_resnet50_2"] = reason_of(error)
    return results


def main() -> int:
    """Parse the command line, measure, write; 0 also where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("bench_gpu.json"), help="where the numbers go")
    parser.add_argument("--gib", type=float, default=1.0, help="size of the feature map")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--size", type=int, default=56, help="height and width; even")
    parser.add_argument("--dtypes", nargs="+", choices=sorted(DTYPES), default=["float32", "bfloat16"])
    parser.add_argument("--layouts", nargs="+", choices=sorted(LAYOUTS), default=["contiguous", "channels_last"])
    parser.add_argument("--batch", type=int, default=32, help="images of a training step of the whole network")
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stdout.write("no CUDA device here: nothing was measured, nothing written\n")
        return 0
    obstacle = wdam.env_report().reason
    sys.stderr.write(f"{obstacle}\n")
    results = run(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"written to {options.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
