"""K convolutional autoencoders (Fig. 3). They are trained one after the other within a pack.

This is the fast version of `models.networks.ConvNetwork`: a test holds that both give the same
reconstructions, codes, losses and gradients in float64.

Stacking small convolutions is slower than a loop on a CPU. What helps is to do the same arithmetic
at the lower resolution, where a 2 x 2 group of pixels is one position:
- The first convolution and its pooling read a window of 4 x 4 pixels per position: a matrix product
  gives the four pixels of the group, of which the largest stays.
- "Double, then convolve" is one convolution whose outputs are the four pixels of a group (Shi et
  al. 2016). With one output channel it is a matrix product that gives a 4 x 4 window per position,
  and the windows are added.
All are exact rearrangements of the kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from models.architecture import ConvArchitecture, image_shape
from models.engine.sparsity import Sparsity
from models.engine.stack import Stack, Targets, binary_cross_entropy

WINDOW = {"kernel_size": 4, "stride": 2, "padding": 1}


class PooledConvolution(torch.autograd.Function):
    """ReLU of the largest of four linear answers; its gradient passes over large arrays once."""

    @staticmethod
    def forward(
        ctx: Any, windows: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """Return (rows, channels, positions) for windows (rows, 16, positions).

        kernel is (4 * channels, 16), bias (channels,).
        """
        answers = _products(kernel, windows).unflatten(1, (4, -1))  # (rows, 4, channels, positions)
        largest = answers.amax(dim=1)
        output = F.relu(largest + bias.view(1, -1, 1))
        ctx.save_for_backward(windows, answers, largest, output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Return the gradients of kernel and bias; the input needs none.

        Pixels tie only where their windows are alike, which changes nothing.
        """
        windows, answers, largest, output = ctx.saved_tensors
        gradient = gradient * (output > 0)
        # In place, as numbers: comparing into booleans is several times slower here.
        spread = answers.eq_(largest.unsqueeze(1)).mul_(gradient.unsqueeze(1))
        kernel_gradient = torch.bmm(spread.flatten(1, 2), windows.mT).sum(dim=0)
        return None, kernel_gradient, gradient.sum(dim=(0, 2))


def _products(kernel: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """(m, n) times each of (rows, n, positions); torch.matmul would copy h to make one product."""
    return torch.bmm(kernel.expand(len(h), *kernel.shape), h)


def _one_hot(entries: list[tuple[int, ...]], shape: tuple[int, ...]) -> torch.Tensor:
    """1 at the entries, 0 elsewhere."""
    tensor = torch.zeros(shape)
    tensor[tuple(zip(*entries, strict=True))] = 1
    return tensor


class ConvStack(Stack):
    """K convolutional networks; an input row of `genes` numbers is padded by zeros to one image."""

    network: ConvArchitecture

    def __init__(self, network, n_genes, n_members, device="cpu", dtype=torch.float32, loss="mse"):
        super().__init__(network, n_genes, n_members, device, dtype, loss)
        self.height, self.width = image_shape(n_genes)
        self.code_units = network.code_size(n_genes)
        taps = [(p, d) for p in range(2) for d in range(3)]
        # Tap d of a 3-tap kernel at pixel p of a pair reads pixel p + d of the window that begins
        # one before,
        pooled = _one_hot([(p, p + d, d) for p, d in taps], (2, 4, 3))
        # and after a doubling the pair (p + d - 1) // 2, one before to one after.
        doubled = _one_hot([(p, (p + d - 1) // 2 + 1, d) for p, d in taps], (2, 3, 3))
        # The other way round, pixel q of a doubled pair reaches pixel 2 + q - d of the same window.
        spread = _one_hot([(q, 2 + q - d, d) for q, d in taps], (2, 4, 3)).sum(dim=0)
        self.pooled, self.doubled, self.spread = (
            t.to(device, dtype) for t in (pooled, doubled, spread)
        )

    def _pooled_kernel(self, kernel: torch.Tensor) -> torch.Tensor:
        """(out, 1, 3, 3) -> (4 * out, 16): each of a group's four pixels from its window."""
        return torch.einsum("oxhw,pih,qjw->pqoij", kernel, self.pooled, self.pooled).reshape(-1, 16)

    def _up_kernel(self, kernel: torch.Tensor) -> torch.Tensor:
        """(out, in, 3, 3) after a doubling -> (out * 4, in, 3, 3) before it: pixels as channels."""
        grouped = torch.einsum("oihw,pah,qbw->opqiab", kernel, self.doubled, self.doubled)
        return grouped.reshape(-1, kernel.shape[1], 3, 3)

    def _window_kernel(self, kernel: torch.Tensor) -> torch.Tensor:
        """(1, in, 3, 3) after a doubling -> (16, in): the window that a position reaches."""
        return torch.einsum("xchw,ih,jw->ijc", kernel, self.spread, self.spread).reshape(16, -1)

    def _own(self, k: int) -> dict[str, torch.Tensor]:
        """Parameters of member k."""
        return {name: value[k] for name, value in self.parameters.items()}

    def _forward(
        self, rows: torch.Tensor, own: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction (rows, genes) and code (rows, units) of one network for (rows, genes)."""
        size, half = (self.height, self.width), (self.height // 2, self.width // 2)
        weight, bias = (
            [own[f"conv{i}.{part}"] for i in range(len(self.network.channels))]
            for part in ("weight", "bias")
        )

        def conv(h: torch.Tensor, i: int) -> torch.Tensor:
            return F.conv2d(h, weight[i], bias[i], padding=1)

        def up_conv(h: torch.Tensor, i: int) -> torch.Tensor:
            h = F.conv2d(h, self._up_kernel(weight[i]), bias[i].repeat_interleave(4), padding=1)
            return F.pixel_shuffle(F.relu(h), 2)

        image = F.pad(rows, (0, self.height * self.width - self.n_genes)).view(-1, 1, *size)
        windows = F.unfold(image, **WINDOW)
        h = PooledConvolution.apply(windows, self._pooled_kernel(weight[0]), bias[0])
        h = h.unflatten(2, half).contiguous(memory_format=torch.channels_last)
        h = F.relu(F.max_pool2d(conv(h, 1), 2))
        code = F.max_pool2d(conv(h, 2), 2)
        code = torch.sigmoid(code) if self.network.code_activation == "sigmoid" else F.relu(code)
        h = F.relu(conv(code, 3))
        h = up_conv(up_conv(h, 4), 5)  # (rows, 16, height / 2, width / 2)
        windows = _products(self._window_kernel(weight[6]), h.flatten(2))
        output = F.fold(windows, size, **WINDOW).flatten(1)[:, : self.n_genes] + bias[6]
        if self.network.output == "sigmoid":
            output = torch.sigmoid(output)
        return output, code.flatten(1)

    def reconstruct(
        self, members: slice, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstructions and codes: see `Stack`."""
        ks = range(*members.indices(self.n_members))
        with torch.no_grad():
            found = [self._forward(x, self._own(k)) for k, x in zip(ks, inputs, strict=True)]
        outputs, codes = zip(*found, strict=True)
        return torch.stack(outputs), torch.stack(codes)

    def backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity
    ) -> torch.Tensor:
        """Return losses and store their gradients: see `Stack`."""
        clean, losses = targets.rows, []
        for j, k in enumerate(range(*members.indices(self.n_members))):
            own = {name: value.detach().requires_grad_() for name, value in self._own(k).items()}
            output, code = self._forward(inputs[j], own)
            if self.loss == "bce":
                error = binary_cross_entropy(output, clean)
            else:
                error = (output - clean).square()
            penalty = sparsity.members(slice(j, j + 1)).penalty(code.unsqueeze(0))[0]
            loss = error.mean() + penalty
            gradients = torch.autograd.grad(loss, list(own.values()))
            for name, gradient in zip(own, gradients, strict=True):
                self.gradients[name][k].copy_(gradient)
            losses.append(loss.detach())
        return torch.stack(losses)
