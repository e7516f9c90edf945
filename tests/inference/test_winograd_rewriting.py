"""A rewritten network gives what the network gives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from napari_hybridseg.inference.winograd import rewriting
from napari_hybridseg.inference.winograd.compute import Compute
from napari_hybridseg.inference.winograd.program import Ours, Program, Step
from napari_hybridseg.inference.winograd.rewriting import rewritten
from napari_hybridseg.networks.deformable import DeformableAttention3d, sampling_grid


class Everything(nn.Module):
    """One of each kind: what is ours, what is folded, and what stays torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, 8, 3, stride=2, padding=1)
        self.wide = nn.Conv3d(8, 16, 3, padding="same", bias=False)
        self.norm = nn.InstanceNorm3d(16, affine=True)
        self.slope = nn.PReLU()
        self.drop = nn.Dropout(0.5)
        self.each = nn.Conv3d(16, 16, 3, padding=1, groups=16)
        self.batch = nn.BatchNorm3d(24)
        self.mixed = nn.Conv3d(16, 24, 1)
        self.up = nn.ConvTranspose3d(24, 8, 3, 2, 1, 1)
        self.head = nn.Conv3d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.stem(image)
        table = torch.zeros(1, 8, 1, 1, 1)
        table[:, 3:] += first.mean()  # written to: no constant
        first = nn.functional.leaky_relu_(first + table, 0.1)
        second = self.slope(self.norm(self.wide(first)))
        third = self.drop(self.each(second)) + second
        place = torch.linspace(0, 1, third.shape[-1]).sin()
        fourth = self.batch(self.mixed(third * place)).relu_()
        logits: Tensor = self.head(self.up(fourth))
        return logits


def made(network: nn.Module, shape: tuple[int, ...]) -> tuple[Compute, Program, Tensor, Tensor]:
    torch.manual_seed(0)
    image = torch.randn(shape)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    network.eval()
    with torch.no_grad():
        program = Program.from_bytes(rewritten(network, image).to_bytes())
        return Compute(program, image, 1), program, image, network(image)


def kinds(program: Program) -> list[str]:
    return [step.target.kind for step in program.steps if isinstance(step.target, Ours)]


def names(program: Program) -> str:
    return " ".join(str(step.target) for step in program.steps)


@torch.inference_mode()
def test_every_operation_finds_its_place() -> None:
    found, program, image, expected = made(Everything(), (1, 1, 10, 12, 14))
    before = image.clone()
    torch.testing.assert_close(found(image), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(image, before)
    assert kinds(program) == [
        "StridedConvolution",
        "WinogradConvolution",
        "InstanceNorm",
        "PointwiseConvolution",
        "TransposedConvolution",
        "PointwiseConvolution",
    ]
    left = names(program)
    for gone in ("dropout", "prelu", "batch_norm", "linspace", "sin"):
        assert gone not in left
    assert "conv3d" in left  # by groups: torch's


@torch.inference_mode()
def test_another_input_of_the_shape_is_right_too_and_results_are_apart() -> None:
    network = Everything()
    found, _, image, _ = made(network, (1, 1, 10, 12, 14))
    first = found(image)
    kept = first.clone()
    other = image.flip(2) * 2
    torch.testing.assert_close(found(other), network(other), atol=1e-4, rtol=1e-4)
    assert torch.equal(first, kept)
    assert first.is_contiguous()


@torch.inference_mode()
def test_the_network_of_a_slice() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3, padding=1), nn.InstanceNorm2d(16), nn.LeakyReLU(inplace=True),
        nn.Conv2d(16, 8, 1), nn.ConvTranspose2d(8, 2, 2, 2),
    )  # fmt: skip
    found, program, image, expected = made(network, (1, 3, 26, 18))
    torch.testing.assert_close(found(image), expected, atol=1e-4, rtol=1e-4)
    assert "WinogradConvolution" in kinds(program)
    assert "batch_norm" not in names(program)


class Twice(nn.Module):
    """What is normalised, and what the norm gives, is read again: nothing may be written over."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(8, 8, 3, padding=1)
        self.norm = nn.InstanceNorm3d(8)

    def forward(self, image: Tensor) -> Tensor:
        found = self.convolution(image)
        normal = self.norm(found)
        return found + normal + normal.relu()


@torch.inference_mode()
def test_what_is_read_again_stays() -> None:
    found, program, image, expected = made(Twice(), (1, 8, 6, 7, 8))
    torch.testing.assert_close(found(image), expected, atol=1e-4, rtol=1e-4)
    assert "InstanceNorm" in kinds(program)


@torch.inference_mode()
def test_filters_beyond_the_budget_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(
        nn.Conv3d(8, 8, 3, 2, 1), nn.Conv3d(8, 16, 3, padding=1), nn.Upsample(scale_factor=2),
        nn.Conv3d(16, 8, 3, padding=1),
    )  # fmt: skip
    monkeypatch.setattr(rewriting, "_BUDGET", 216 * 4 * 8 * 16)
    found, program, image, expected = made(network, (1, 8, 8, 8, 8))
    # the last has most voxels, and is worth most
    assert kinds(program) == ["StridedConvolution", "StridedConvolution", "WinogradConvolution"]
    torch.testing.assert_close(found(image), expected, atol=1e-4, rtol=1e-4)


class Odd(nn.Module):
    """A convolution, and what a function makes of it and of the image."""

    def __init__(self, act: Callable[[Odd, Tensor], Tensor]) -> None:
        super().__init__()
        self.act = act
        self.convolution = nn.Conv3d(8, 8, 3, padding=1)
        self.register_buffer("kept", torch.zeros(8))

    def forward(self, image: Tensor) -> Tensor:
        return self.act(self, image)


def _means(image: Tensor) -> Tensor:
    return image.mean((0, 2, 3, 4))


def _with_a_mask(self: Odd, image: Tensor) -> Tensor:
    mask = torch.zeros(image.shape, dtype=torch.bool)
    mask |= image > 0
    found: Tensor = self.convolution(image) * mask
    return found


def _with_an_out(self: Odd, image: Tensor) -> Tensor:
    doubled = torch.zeros(image.shape)
    torch.mul(image, 2, out=doubled)
    found: Tensor = self.convolution(doubled)
    return found


def _with_memory(self: Odd, image: Tensor) -> Tensor:
    self.kept.copy_(_means(image))
    weight = self.convolution.weight
    return nn.functional.conv3d(image, weight, self.kept, padding=1) + self.kept.sum()


def _with_its_own_weights(self: Odd, image: Tensor) -> Tensor:
    weight = self.convolution.weight * _means(image).reshape(-1, 1, 1, 1)
    found = nn.functional.conv3d(image, weight, _means(image), padding=1)
    found = nn.functional.instance_norm(found, weight=_means(image), bias=_means(image))
    return nn.functional.prelu(nn.functional.instance_norm(found), _means(image))


def _with_its_own_statistics(self: Odd, image: Tensor) -> Tensor:
    found = self.convolution(image)
    return nn.functional.batch_norm(found, _means(image), _means(image).abs() + 1)


def _without_a_batch(self: Odd, image: Tensor) -> Tensor:
    return nn.functional.conv3d(image[0], self.convolution.weight[:1], padding=1)[None]


@torch.inference_mode()
@pytest.mark.parametrize(
    "act",
    [
        _with_a_mask,
        _with_an_out,
        _with_memory,
        _with_its_own_weights,
        _with_its_own_statistics,
        _without_a_batch,
    ],
)
def test_what_depends_on_the_image_is_calculated_for_every_image(
    act: Callable[[Odd, Tensor], Tensor],
) -> None:
    torch.manual_seed(0)
    with torch.inference_mode(False):  # what it keeps is written to
        network = Odd(act)
        found, _, image, _ = made(network, (1, 8, 6, 7, 8))
    other = image.flip(2) * 2 + 0.3
    torch.testing.assert_close(found(other), network(other), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_random_numbers_are_drawn_for_every_image() -> None:
    network = Odd(lambda self, image: self.convolution(image) + torch.rand(1, 8, 1, 1, 1))
    found, _, image, _ = made(network, (1, 8, 4, 4, 4))
    assert not torch.equal(found(image), found(image))


def test_a_network_with_two_answers_is_refused() -> None:
    network = Odd(lambda self, image: (image, self.convolution(image)))  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="more than one tensor"), torch.no_grad():
        rewritten(network.eval(), torch.ones(1, 8, 4, 4, 4))


def test_two_threads_do_not_meet_in_one_memory() -> None:
    """A measurement that was cancelled goes on beside the next run."""
    found, _, image, _ = made(Everything(), (1, 1, 34, 36, 38))
    images = [image, image * 2]
    with torch.no_grad():
        expected = [found(one) for one in images]

    def agrees(number: int) -> bool:
        with torch.no_grad():
            return all(torch.equal(found(images[number]), expected[number]) for _ in range(8))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(agrees, (0, 1)))


class Undecided(nn.Module):
    """Looks at its input's numbers, which a trace cannot follow."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 2 if bool(image.mean() > 0) else image


def test_a_network_that_looks_at_numbers_is_refused() -> None:
    with pytest.raises(RuntimeError):
        rewritten(Undecided().eval(), torch.ones(1, 8, 4, 4, 4))


@torch.inference_mode()
def test_deformable_attention_is_one_operation_and_its_network_stays_as_it_is() -> None:
    torch.manual_seed(0)
    attention = DeformableAttention3d(width=16, heads=2, levels=1, points=2)
    torch.nn.init.normal_(attention.offsets.weight, std=0.3)
    shapes = ((2, 3, 4),)
    grid = sampling_grid(shapes, "corrected", torch.device("cpu"), torch.float32)

    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, tokens: Tensor) -> Tensor:
            moved = tokens.flatten(2).transpose(1, 2)
            found: Tensor = self.attention(moved, moved, grid)
            return found.transpose(1, 2).unflatten(2, (2, 3, 4))

    found, program, image, expected = made(Looks(), (1, 16, 2, 3, 4))
    torch.testing.assert_close(found(image), expected, atol=1e-5, rtol=1e-4)
    assert kinds(program) == ["Sampler"]
    assert "sample" not in vars(attention)


@torch.inference_mode()
def test_torchs_threads_are_measured_and_given_back() -> None:
    _, program, image, expected = made(Everything(), (1, 1, 10, 12, 14))
    before = torch.get_num_threads()
    found = Compute(program, image, 2)
    torch.testing.assert_close(found(image), expected, atol=1e-4, rtol=1e-4)
    assert found._torchs_threads in (1, 2)
    assert torch.get_num_threads() == before


def test_what_a_step_is_done_with_is_let_go() -> None:
    _, program, _image, _ = made(Everything(), (1, 1, 10, 12, 14))
    let_go = [number for step in program.steps for number in step.done_with]
    assert sorted(let_go) == sorted(set(let_go))
    first = len(program.constants) + 1
    kept = {program.result, *range(1, first)}
    assert {0, *range(first, first + len(program.steps))} - set(let_go) - kept == set()


def test_a_kept_program_calls_nothing_but_torchs_operations() -> None:
    step = Step("os.system.default", ("true",), {}, ())
    with pytest.raises(ValueError, match=r"os\.system\.default is no operation of torch"):
        Compute(Program((), (step,), 1), torch.zeros(1), 1)


def test_an_argument_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(TypeError, match="complex cannot be kept"):
        Program((), (Step("aten.add.Tensor", (1j,), {}, ()),), 1).to_bytes()
