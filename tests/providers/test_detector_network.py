"""The network of ``unet``: shapes, lenses that start as the identity, and what it can see."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("wdam")

from fmas_providers.detectors.options import UNetOptions  # noqa: E402
from fmas_providers.detectors.unet.network import CompactUNet, build_network  # noqa: E402
from wdam import WDAM  # noqa: E402


def network(**options: int) -> CompactUNet:
    torch.manual_seed(0)
    return CompactUNet(**({"width": 5, "levels": 3, "stem": 2} | options))  # type: ignore[arg-type]


def lenses_of(made: torch.nn.Module) -> dict[str, WDAM]:
    """Return every WDAM by its name, the finest level first."""
    return {name: module for name, module in made.named_modules() if isinstance(module, WDAM)}


@pytest.mark.parametrize("width", [2, 5, 8])
@pytest.mark.parametrize(("levels", "stem"), [(2, 2), (3, 4), (5, 2)])
def test_a_logit_for_each_pixel(width: int, levels: int, stem: int) -> None:
    made = network(width=width, levels=levels, stem=stem, wdam_levels=1)
    assert made.multiple == stem * 2 ** (levels - 1)
    height, breadth = 2 * made.multiple, 3 * made.multiple
    logits = made(torch.zeros(2, 3, height, breadth))
    assert logits.shape == (2, height, breadth)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_the_smallest_picture_it_reads() -> None:
    made = network().eval()
    assert made(torch.zeros(1, 3, made.multiple, made.multiple)).shape == (1, made.multiple, made.multiple)


def test_at_first_a_defect_is_rare() -> None:
    made = network(width=8, levels=4).eval()
    with torch.inference_mode():
        chance = torch.sigmoid(made(torch.randn(2, 3, 64, 64)))
    assert float(chance.mean()) < 0.3


def test_a_fresh_lens_changes_nothing() -> None:
    through, plain = network(wdam_levels=2), network()
    plain.load_state_dict({name: value for name, value in through.state_dict().items() if "lens" not in name})
    pictures = torch.randn(2, 3, 32, 48)
    assert torch.equal(through.eval()(pictures), plain.eval()(pictures))


def test_a_lens_learns_from_the_second_step_on() -> None:
    made = network(wdam_levels=1)
    (lens,) = lenses_of(made).values()
    before = [value.clone() for value in lens.parameters()]
    optimiser = torch.optim.SGD(made.parameters(), lr=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        made(torch.randn(2, 3, 32, 32)).square().mean().backward()
        optimiser.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, lens.parameters(), strict=True))


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_lenses_sit_on_the_finest_levels(levels: int) -> None:
    made = network(width=4, levels=3, wdam_levels=levels)
    lenses = lenses_of(made)
    assert [lens.channels for lens in lenses.values()] == [4, 8, 16][:levels]
    assert list(lenses.values()) == [module for module in made.modules() if isinstance(module, WDAM)]


@pytest.mark.parametrize("stem", [2, 4])
def test_every_pixel_is_seen(stem: int) -> None:
    made = network(width=8, stem=stem).eval()
    pictures = torch.randn(1, 3, 32, 32, requires_grad=True)
    made(pictures).sum().backward()
    assert pictures.grad is not None
    assert bool((pictures.grad.abs().sum(dim=1) > 0).all())


def test_gradients_reach_everything_that_learns() -> None:
    made = network(wdam_levels=1)
    for lens in lenses_of(made).values():
        torch.nn.init.ones_(lens.scale)  # at 0, the perceptron behind it has no gradient yet
    made(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert not [name for name, value in made.named_parameters() if value.grad is None or not bool(value.grad.any())]


@pytest.mark.parametrize(("wdam", "lenses"), [(True, 2), (False, 0)])
def test_the_options_decide(wdam: bool, lenses: int) -> None:
    made = build_network(UNetOptions(width=4, levels=3, wdam=wdam, wdam_levels=2), pretrained=False)
    assert isinstance(made, CompactUNet)
    assert len(lenses_of(made)) == lenses
