"""The noise (eq. 9): drawing it, adding it, and the error of leaving the input alone.

Another noise distribution is written here and nowhere else: draw it in `standard_normal`, apply it
in `add_noise`, and give its effect on variances in `noise_variance` and `noisy_moments`.

Common random numbers: a stream is named by a seed, a purpose and counters, never by the network
that uses it. So members that differ only in the factor under study see the same initial weights
(for equal shapes), the same batch order and the same noise draws (a training set that is drawn once
has a separate draw for each noise factor); and a run that continues after a fault makes the same
draws as without it, though no generator's state is saved.

torch is imported only in functions that use it, because reports use this module without torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def stream(
    seed: int, purpose: str, *counters: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the generator of one stream, e.g. `stream(0, "noise", epoch, batch)`.

    The key is hashed (BLAKE2b), so neighbouring seeds and counters give unrelated streams. torch's
    CPU generator uses 32 bits of a seed: among n streams about n^2 / 2^33 pairs are expected to be
    equal, 0.002 in the paper's grid.
    """
    import torch

    return torch.Generator(device=device).manual_seed(_key(seed, purpose, counters) >> 1)


def numpy_stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return numpy's generator (PCG64) of one stream, for draws that torch does not offer."""
    return np.random.Generator(np.random.PCG64(_key(seed, purpose, counters)))


def _key(seed: int, purpose: str, counters: tuple[int, ...]) -> int:
    key = f"{seed}/{purpose}/{'/'.join(map(str, counters))}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def standard_normal(
    shape: tuple[int, ...], generator: torch.Generator, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Draw from N(0, 1), float32, on the generator's device."""
    import torch

    return torch.randn(shape, generator=generator, device=generator.device, out=out)


def add_noise(clean: Any, noise_factor: Any, normal: Any, out: torch.Tensor | None = None) -> Any:
    """Return s + alpha n (eq. 9), with n from N(0, 1); a factor of 0 returns the values of `clean`.

    Takes tensors, or arrays of numpy without `out`. Shapes broadcast: clean (rows, genes),
    noise_factor a number or (inputs, rows or 1, 1), normal (rows, genes).
    """
    if isinstance(clean, np.ndarray):
        return clean + noise_factor * normal
    import torch

    if not torch.is_tensor(noise_factor):
        noise_factor = torch.tensor(float(noise_factor), device=clean.device)
    return torch.addcmul(clean, noise_factor, normal, out=out)


def noisy_set(clean: torch.Tensor, seed: int, noise_factor: float) -> torch.Tensor:
    """Return a seed's noisy training set at a noise factor, (rows, genes), on `clean`'s device.

    Each noise factor has its own draw, made on the CPU so that all devices train on the same set.
    """
    if not noise_factor:
        return clean
    normal = standard_normal(tuple(clean.shape), stream(seed, f"noise-set-{noise_factor!r}"))
    return add_noise(clean, noise_factor, normal.to(clean.device))


def noise_variance(noise_factor: Any) -> Any:
    """Return the variance of the noise of a gene, alpha^2: a number, an array or a tensor."""
    return noise_factor**2


def identity_mse(noise_factor: Any) -> Any:
    """Return the expected MSE of leaving the noisy input alone, at one or many noise factors."""
    return noise_variance(noise_factor)


def noisy_moments(
    clean: np.ndarray, cross: np.ndarray, normal: np.ndarray, noise_factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of y^2 and of y x for y = x + alpha n, from those of x^2, x n and n^2."""
    square = clean + 2 * noise_factor * cross + noise_variance(noise_factor) * normal
    return square, clean + noise_factor * cross


def evaluation_noise(seed: int, split: str, n_samples: int, n_genes: int) -> torch.Tensor:
    """Draw the fixed noise of `seed` for evaluating `split`, (samples, genes), on the CPU."""
    return standard_normal((n_samples, n_genes), _evaluation_stream(seed, split))


def evaluation_noise_blocks(
    seed: int, split: str, n_samples: int, n_genes: int, block_rows: int
) -> Iterator[torch.Tensor]:
    """Draw the values of `evaluation_noise`, `block_rows` samples at a time (a multiple of 16).

    torch's generator draws 16 numbers at a time, hence the multiple.
    """
    if n_genes < 16:
        yield from evaluation_noise(seed, split, n_samples, n_genes).split(block_rows)
        return
    generator = _evaluation_stream(seed, split)
    for start in range(0, n_samples, block_rows):
        yield standard_normal((min(block_rows, n_samples - start), n_genes), generator)


def _evaluation_stream(seed: int, split: str) -> torch.Generator:
    return stream(seed, f"evaluation-noise-{split}")
