"""Gaussian noise (eq. 9) and the random streams behind every comparison.

Common random numbers: a stream is named by a seed, a purpose and counters, never by the network
that uses it. So members that differ only in the factor under study see the same initial weights
(where shapes agree), the same batch order and the same noise draws; and a run that goes on after a
fault draws what it would have drawn, without any generator's state being saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch


def stream(
    seed: int, purpose: str, *counters: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The generator of one stream, e.g. `stream(0, "noise", epoch, batch)`.

    The key is hashed (BLAKE2b), so neighbouring seeds and counters give unrelated streams. torch's CPU generator
    takes 32 bits of a seed: of n streams about n^2 / 2^33 pairs are alike, 0.002 in the paper's grid.
    """
    return torch.Generator(device=device).manual_seed(_key(seed, purpose, counters) >> 1)


def numpy_stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """The same for what numpy alone can draw: numpy's generator (PCG64) of the stream of that name."""
    return np.random.Generator(np.random.PCG64(_key(seed, purpose, counters)))


def _key(seed: int, purpose: str, counters: tuple[int, ...]) -> int:
    key = f"{seed}/{purpose}/{'/'.join(map(str, counters))}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def standard_normal(
    shape: tuple[int, ...], generator: torch.Generator, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Draws from N(0, 1), float32, on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device, out=out)


def add_noise(
    clean: torch.Tensor,
    noise_factor: torch.Tensor | float,
    normal: torch.Tensor,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Eq. 9: s' = s + alpha n, with n from N(0, 1). A noise factor of 0 returns the values of `clean`.

    Shapes broadcast: clean (rows, genes), noise_factor a number or (inputs, rows or 1, 1), normal (rows, genes).
    """
    if not torch.is_tensor(noise_factor):
        noise_factor = torch.tensor(float(noise_factor), device=clean.device)
    return torch.addcmul(clean, noise_factor, normal, out=out)


def evaluation_noise(seed: int, split: str, n_samples: int, n_genes: int) -> torch.Tensor:
    """The one fixed draw per seed on which `split` is evaluated, (samples, genes), drawn on the CPU."""
    return standard_normal((n_samples, n_genes), _evaluation_stream(seed, split))


def evaluation_noise_blocks(
    seed: int, split: str, n_samples: int, n_genes: int, block_rows: int
) -> Iterator[torch.Tensor]:
    """The same draw, `block_rows` samples at a time (a multiple of 16: the generator draws by 16)."""
    if n_genes < 16:
        yield from evaluation_noise(seed, split, n_samples, n_genes).split(block_rows)
        return
    generator = _evaluation_stream(seed, split)
    for start in range(0, n_samples, block_rows):
        yield standard_normal((min(block_rows, n_samples - start), n_genes), generator)


def _evaluation_stream(seed: int, split: str) -> torch.Generator:
    return stream(seed, f"evaluation-noise-{split}")
