"""NVRTC compiles every kernel for every architecture, without spilling, with 16-byte accesses. Needs no GPU."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from wdam.errors import BackendError
from wdam.kernels import compile as compile_module
from wdam.kernels import device
from wdam.kernels.cache import Binary, KernelCache
from wdam.kernels.compile import Kernel, Nvrtc, build, source_text

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
MOST_REGISTERS = 128  # 512 threads of a block, or two blocks of 256, fit a multiprocessor's 65,536


def _compiler_obstacle() -> str | None:
    try:
        Nvrtc()
    except BackendError as error:
        return str(error)
    return None


OBSTACLE = _compiler_obstacle()
needs_nvrtc = pytest.mark.skipif(OBSTACLE is not None, reason=f"{OBSTACLE}")


def _load() -> ModuleType:
    path = Path(__file__).parent / "host_shim" / "host_shim.py"
    spec = importlib.util.spec_from_file_location("wdam_host_shim", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


def _by_source() -> dict[str, list[str]]:
    if sys.platform == "win32":
        return {}
    grouped: dict[str, list[str]] = {}
    for kernel in _load().instances():
        grouped.setdefault(kernel.source, []).append(kernel.expression)
    return grouped


BY_SOURCE = _by_source()


@needs_nvrtc
@pytest.mark.parametrize("source", BY_SOURCE)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_kernel_spills(architecture, source):
    """The report of ptxas, which NVRTC runs inside, for all instances of one source."""
    from cuda.core import Program, ProgramOptions

    log = io.StringIO()
    options = ProgramOptions(arch=architecture, std="c++17", diag_suppress=177, ptxas_options=["-v"])
    program = Program(source_text(source), "c++", options)
    code = program.compile("cubin", name_expressions=tuple(BY_SOURCE[source]), logs=log)
    report = log.getvalue()
    assert "warning" not in report, report
    assert len(code.symbol_mapping) == len(BY_SOURCE[source])
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", report)]
    assert len(spills) == len(registers) == len(BY_SOURCE[source])
    assert set(spills) == {("0", "0", "0")}, report
    assert max(registers) <= MOST_REGISTERS


def _ptx(source: str, expression: str) -> str:
    """Return PTX straight from NVRTC: for PTX cuda-core first asks a driver, and here is none."""
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(source_text(source).encode(), b"kernel.cu", 0, [], [])
    nvrtc.nvrtcAddNameExpression(program, expression.encode())
    options = [b"--gpu-architecture=compute_80", b"--std=c++17"]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    assert int(status) == 0
    _, size = nvrtc.nvrtcGetPTXSize(program)
    text = bytes(size)
    nvrtc.nvrtcGetPTX(program, text)
    return text.decode()


WIDE = r"\.global\S*\.(v4\.[uf]32|v4\.b32|v2\.[uf]64)"


@needs_nvrtc
@pytest.mark.parametrize("type_", ["float, 4", "wdam::Half, 8", "wdam::BFloat16, 8", "double, 2"])
@pytest.mark.parametrize(
    ("source", "name", "loads", "stores"),
    [
        ("wdam_pool.cu", "pool_contiguous<{}>", 2, 0),
        ("wdam_reweight.cu", "reweight<{}, false>", 2, 2),
        ("wdam_reweight.cu", "reweight<{}, true>", 4, 4),
        ("wdam_backward.cu", "subband_dot<{}, false, false>", 4, 0),
        ("wdam_backward.cu", "subband_dot<{}, true, false>", 8, 0),
        ("wdam_backward.cu", "input_gradient<{}, false, false>", 2, 2),
        ("wdam_backward.cu", "input_gradient<{}, true, false>", 4, 4),
        ("wdam_backward.cu", "subband_dot<{}, false, true>", 2, 0),
        ("wdam_backward.cu", "subband_dot<{}, true, true>", 4, 0),
        ("wdam_backward.cu", "input_gradient<{}, false, true>", 0, 2),
        ("wdam_backward.cu", "input_gradient<{}, true, true>", 0, 4),
        ("haar.cu", "haar_analysis<{}>", 4, 4),
        ("haar.cu", "haar_synthesis<{}>", 4, 4),
    ],
)
def test_feature_maps_move_by_16_bytes(source, name, loads, stores, type_):
    ptx = _ptx(source, f"wdam::{name.format(type_)}")
    assert len(re.findall("ld" + WIDE, ptx)) >= loads
    assert len(re.findall("st" + WIDE, ptx)) >= stores
    narrow = re.findall(r"st\.global\.\S+", ptx)
    if stores:
        assert all(re.match("st" + WIDE, store) for store in narrow), narrow


@needs_nvrtc
def test_the_compiler_returns_a_cubin_and_its_name(tmp_path):
    kernel = Kernel("wdam_pool.cu", "wdam::pool_finish<float>")
    compiler, cache = Nvrtc(), KernelCache(tmp_path)
    binary = build(kernel, "sm_90", compiler, cache)
    assert binary.code.startswith(b"\x7fELF") and binary.symbol.encode() in binary.code
    assert re.search(r"nvrtc \d+\.\d+, cuda-core \d", compiler.version)

    class Never:
        version = compiler.version

        def compile(self, source: str, kernel: Kernel, architecture: str) -> None:
            raise AssertionError("it was to come from the cache")

    assert build(kernel, "sm_90", Never(), cache) == binary


@needs_nvrtc
def test_an_unknown_architecture_is_explained():
    with pytest.raises(BackendError, match=r"expected nvrtc .* to compile wdam::pool_finish<float> for sm_1, got"):
        Nvrtc().compile(source_text("wdam_pool.cu"), Kernel("wdam_pool.cu", "wdam::pool_finish<float>"), "sm_1")


def test_a_missing_cuda_core_is_explained(monkeypatch):
    def missing(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(compile_module, "import_module", missing)
    with pytest.raises(BackendError, match=r"expected cuda-core.*got ImportError.*pip install 'cuda-core\[cu12\]'"):
        Nvrtc()


class Known:
    """A compiler that knows two architectures."""

    version = "nvrtc 1.0"

    def architecture(self, major: int, minor: int) -> str:
        if (major, minor) != (9, 0):
            raise BackendError(f"expected a known GPU, got {major}.{minor}")
        return "sm_90"


def _refuse() -> None:
    raise BackendError("no NVRTC")


@pytest.fixture
def gpu(monkeypatch):
    """Let PyTorch claim a GPU, and forget what was found out before and is found out now."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(device, "Nvrtc", Known)
    caches = (device._compiler, device._compiler_obstacle, device._loaded, device._cache)
    for cached in caches:
        cached.cache_clear()
    yield monkeypatch
    for cached in caches:
        cached.cache_clear()


def test_the_obstacle_is_named(gpu):
    assert device.obstacle() is None
    gpu.setattr(torch.cuda, "is_available", lambda: False)
    assert device.obstacle() == "PyTorch sees no CUDA device"
    gpu.setattr(torch.version, "cuda", None)
    assert "without CUDA" in str(device.obstacle())


def test_a_missing_compiler_is_an_obstacle(gpu):
    gpu.setattr(device, "Nvrtc", _refuse)
    assert device.obstacle() == "no NVRTC"


def test_an_unknown_gpu_is_an_obstacle(gpu):
    gpu.setattr(torch.cuda, "get_device_capability", lambda index: (7, 0))
    assert device.obstacle() == "expected a known GPU, got 7.0"


class Core(ModuleType):
    """As much of cuda.core as a launch touches; remembers what it was told."""

    def __init__(self, *, old_driver: bool = False) -> None:
        super().__init__("cuda.core")
        self.told: list[tuple[object, ...]] = []
        self.old_driver = old_driver
        self.Device = lambda index: SimpleNamespace(set_current=lambda: self.told.append(("device", index)))
        self.Stream = SimpleNamespace(from_handle=lambda handle: ("stream", handle))
        self.LaunchConfig = lambda grid, block: (grid, block)
        self.ObjectCode = SimpleNamespace(from_cubin=self._load)

    def _load(self, code: bytes, name: str) -> SimpleNamespace:
        if self.old_driver:
            raise RuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU")
        self.told.append(("load", code, name))
        return SimpleNamespace(get_kernel=lambda symbol: ("kernel", symbol))

    def launch(self, *arguments: object) -> None:
        self.told.append(("launch", *arguments))


@pytest.fixture
def launching(gpu, tmp_path):
    """Let `device.run` reach a cuda.core that only listens."""
    gpu.setattr(torch.cuda, "device", lambda place: contextlib.nullcontext())
    gpu.setattr(torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=4711))
    gpu.setattr(Known, "compile", lambda *_: Binary("mangled", b"machine code"), raising=False)
    gpu.setenv("WDAM_CACHE_DIR", str(tmp_path))
    return gpu


def test_a_launch_goes_to_the_current_stream_and_loads_once(launching):
    core, kernel = Core(), Kernel("haar.cu", "wdam::haar_analysis<float, 4>")
    launching.setattr(device, "import_module", lambda name: core)
    for _ in range(2):
        device.run(kernel, 3, 256, (1, 0.5), torch.device("cuda", 0))
    device.run(kernel, 0, 256, (), torch.device("cuda", 0))
    once = ("launch", ("stream", 4711), (3, 256), ("kernel", "mangled"), 1, 0.5)
    # Each launch binds the context first: it may be the first of its thread.
    assert core.told == [("device", 0), ("load", b"machine code", kernel.expression), once, ("device", 0), once]


def test_a_driver_that_refuses_is_explained(launching):
    launching.setattr(device, "import_module", lambda name: Core(old_driver=True))
    with pytest.raises(BackendError, match=r"expected the driver to load .* got CUDA_ERROR_NO.*; update the NVIDIA"):
        device.run(Kernel("haar.cu", "wdam::haar_analysis<float, 4>"), 1, 32, (), torch.device("cuda", 0))


@needs_nvrtc
def test_the_newest_architecture_that_a_gpu_runs_is_chosen():
    compiler = Nvrtc()
    compiler._architectures = (75, 80, 86, 90, 100, 120)
    chosen = [compiler.architecture(*capability) for capability in ((7, 5), (8, 0), (8, 9), (9, 0), (12, 1))]
    assert chosen == ["sm_75", "sm_80", "sm_86", "sm_90", "sm_120"]
    for unknown in ((7, 0), (11, 0)):
        with pytest.raises(BackendError, match=r"expected a GPU that nvrtc .* knows \(sm_75, .*got compute capability"):
            compiler.architecture(*unknown)


def test_importing_wdam_and_the_launchers_leaves_cuda_core_alone():
    code = (
        "import sys, wdam, wdam.kernels.launch, wdam.kernels.transform_ops; "
        "assert 'cuda.core' not in sys.modules"  # torch itself may import cuda.bindings
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
