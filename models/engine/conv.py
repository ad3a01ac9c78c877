"""A stack of K convolutional autoencoders (Fig. 3), trained one after the other.

This is the fast version of `models.networks.ConvNetwork`: a test holds that both give the same
reconstructions, codes, losses and gradients in float64.

On a CPU small convolutions spend most of their time outside of arithmetic. Four things help:
- Arrays are (channels, height, width, rows): the rows of the batch lie next to each other. So each
  operation runs over whole vectors, and an image that is shifted by a pixel is the same memory from
  another start: a convolution is a matrix product per shift, mostly without copies.
- Convolutions are computed at the lower resolution. One before a pooling reads groups of 2 x 2
  pixels and gives four answers per group; the largest is kept. "Double, then convolve" gives
  the four pixels of a group (Shi et al. 2016); with one output channel it gives a window of 4 x 4
  pixels, and the windows are added. These are exact rearrangements of the kernels.
- Rows pass in chunks whose arrays stay in the level-2 cache.
- The arrays, and the views of them that operations read and write, are made once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import torch

from models.architecture import ConvArchitecture, image_shape
from models.engine.sparsity import Sparsity
from models.engine.stack import BCE_CLIP, Stack, Targets, binary_cross_entropy

#: Numbers of one channel that pass together on a CPU: 32 images of 24 x 40 pixels.
CHUNK = 32 * 24 * 40
#: Rows are padded to a multiple of this: a vector unit's float32 numbers.
VECTOR = 16
#: Columns of a matrix product that fit into the cache together with its answers.
COLUMNS = 32 * 128

Zeros = Callable[..., torch.Tensor]
#: Two views of one shape.
Views = tuple[torch.Tensor, torch.Tensor]


class Axis:
    """The places of a kernel's three taps along the height, and likewise along the width.

    `letters` name the dimensions of `taps`, except the last one, the tap; `entries` are the indices
    at which `taps` is 1.
    """

    def __init__(self, letters: str, shape: tuple[int, ...], entries: list[tuple[int, ...]]):
        self.letters, self.taps = letters, torch.zeros(*shape, 3)
        self.taps[tuple(zip(*entries, strict=True))] = 1

    def square(self, letters: str) -> torch.Tensor:
        """Return the taps along both, (3, 3, *letters), with capital letters for the width."""
        high, wide = self.letters, self.letters.upper()
        return torch.einsum(f"{high}y,{wide}x->yx{letters}", self.taps, self.taps)


_TAPS = [(p, d) for p in range(2) for d in range(3)]
#: Pixel, group, place: tap d at pixel p of a pair reads pixel p + d of the four that begin one
#: before the pair; these are two groups of two places.
GROUPED = Axis("pga", (2, 2, 2), [(p, (p + d) // 2, (p + d) % 2, d) for p, d in _TAPS])
#: Pixel, neighbour: in a doubled image that is pixel (p + d - 1) // 2 of the original, counted from
#: the pair's own; neighbour 0 is the one before.
DOUBLED = Axis("pn", (2, 3), [(p, (p + d - 1) // 2 + 1, d) for p, d in _TAPS])
#: Pixel, neighbour: of an image as it is.
PLAIN = Axis("pn", (1, 3), [(0, d, d) for d in range(3)])
#: Group, place: in the transposed direction the pair's pixel p reaches 2 + p - d of those four.
REACHED = Axis("ga", (2, 2), [((2 + p - d) // 2, (p - d) % 2, d) for p, d in _TAPS])


class Weights:
    """A layer's kernel (out, in, 3, 3) as matrices, its bias, and the sums of their gradients.

    `parts` has the letters of each of the matrices' dimensions: those of `axis`, small along the
    height and capital along the width, and o and i for the kernel's channels. `transposed` keeps
    the sums transposed, for layers in which that product is faster.
    """

    def __init__(
        self,
        zeros: Zeros,
        axis: Axis,
        parts: list[str],
        shape: tuple[int, int],
        n_biases: int,
        transposed: bool = True,
    ):
        # This order of letters lets copies move the numbers in runs as long as possible.
        letters = [letter for letter in "".join(parts) if letter not in "oi"]
        taps = axis.square("".join(letters))
        letters = ["o", "i", *letters]
        extents = [*shape, *taps.shape[2:]]
        sizes = [[extents[letters.index(letter)] for letter in part] for part in parts]
        self.taps = zeros(9, taps[0, 0].numel()).copy_(taps.reshape(9, -1))
        self.kernel = zeros(math.prod(shape), len(self.taps.T))
        placed = self.kernel.view(extents).permute([letters.index(c) for c in "".join(parts)])
        *many, n_rows, n_columns = map(math.prod, sizes)
        self.matrices = zeros(*many, n_rows, n_columns)
        #: (..., columns, rows)
        self.sums = (
            zeros(*many, n_columns, n_rows) if transposed else zeros(*many, n_rows, n_columns).mT
        )
        self.to_matrices: Views = self.matrices.view(placed.shape), placed
        sums = self.sums.mT
        for k in reversed(range(len(parts))):
            sums = sums.unflatten(k, sizes[k])
        self.to_kernel: Views = placed, sums
        self.bias, self.bias_sums = zeros(2, n_biases, 1)

    def load(self, kernel: torch.Tensor, bias: torch.Tensor) -> None:
        """Take a network's parameters, and set the sums of the gradients to 0."""
        torch.mm(kernel.view(-1, 9), self.taps, out=self.kernel)
        self.to_matrices[0].copy_(self.to_matrices[1])
        self.bias.view(-1, len(bias)).copy_(bias)
        self.sums.zero_()
        self.bias_sums.zero_()

    def store(self, kernel: torch.Tensor, bias: torch.Tensor) -> None:
        """Write the sums of the gradients to `kernel` and `bias`."""
        self.to_kernel[0].copy_(self.to_kernel[1])
        torch.mm(self.kernel, self.taps.T, out=kernel.view(-1, 9))
        torch.sum(self.bias_sums.view(-1, len(bias)), dim=0, out=bias)


def _relu_backward(gradient: torch.Tensor, answers: torch.Tensor, out: torch.Tensor) -> None:
    """Write to `out` the gradient if the answer is above 0, else 0."""
    torch.ops.aten.threshold_backward.grad_input(gradient, answers, 0, grad_input=out)


def _groups(image: torch.Tensor, groups: torch.Tensor) -> Iterator[Views]:
    """Yield the parts of an image (channels, height, width, rows) and their places in groups."""
    groups = groups.unflatten(0, (-1, 2, 2))
    for p, q in product(range(2), range(2)):
        part = image[:, p::2, q::2]
        height, width = part.shape[1:3]
        yield part, groups[:, 1 - p, 1 - q, p : p + height, q : q + width]


def _padded(image: torch.Tensor, padded: torch.Tensor) -> Iterator[Views]:
    """Yield an image (channels, ...), or its pixels in fours (4, channels, ...), and its place."""
    image = image if image.dim() == 5 else image.unsqueeze(0)
    n = math.isqrt(len(image))
    inside = padded[:, 1:-1, 1:-1].unflatten(1, (-1, n)).unflatten(3, (-1, n))
    yield image.unflatten(0, (n, n)), inside.permute(2, 4, 0, 1, 3, 5)


class Pairs:
    """Elementwise maximum of the halves of `pairs` (2, ...), which may change after `forward`."""

    def __init__(self, pairs: torch.Tensor, lead: torch.Tensor, larger: torch.Tensor):
        self.pairs, (self.first, self.second) = pairs, pairs
        self.lead, self.larger = lead, larger

    def forward(self) -> None:
        """Compute `larger`, and in `lead` the first half minus the second."""
        torch.maximum(self.first, self.second, out=self.larger)
        torch.sub(self.first, self.second, out=self.lead)

    def backward(self, gradient: torch.Tensor) -> None:
        """Replace the pairs by their gradients: `gradient` for the larger one, 0 for the other."""
        _relu_backward(gradient, self.lead, out=self.first)
        torch.sub(gradient, self.first, out=self.second)


@dataclass(frozen=True)
class Block:
    """Positions of a `Pooled` layer that are computed together: views of its arrays.

    `pixels` (4 * outputs, columns) are the answers of each group of 2 x 2; of these `lines` takes
    the larger of two lines, and `groups` the larger of what remains. The blocks share the memory of
    the pixels, which fits into the cache.
    """

    copies: list[Views]
    inputs: list[torch.Tensor]
    input_gradients: list[torch.Tensor]
    pixels: torch.Tensor
    lines: Pairs
    groups: Pairs
    gradient: torch.Tensor


class Pooled:
    """A convolution with 2 x 2 max pooling.

    `input` (4 * channels, height + 1, width + 1, rows) holds the image in groups of 2 x 2 pixels,
    which begin one pixel before it; zeros surround it. The answers to a group depend on 2 x 2
    groups: on the input from four starts. So the last of width + 1 columns of answers mixes two
    lines of the image, and is not used. `answers` (outputs, height, width, rows) are those before
    the activation.
    """

    def __init__(
        self, zeros: Zeros, channels: int, outputs: int, height: int, width: int, rows: int
    ):
        line = (width + 1) * rows
        used = height * line - rows
        is_first = channels == 1  # its input needs no gradient
        self.input = zeros(4 * channels, height + 1, width + 1, rows)
        self.input_gradient = zeros(0 if is_first else 4 * channels, *self.input.shape[1:])
        shifted, shifted_gradients = (
            [image.flatten(1)[:, at : at + used] for at in (0, rows, line, line + rows)]
            for image in (self.input, self.input_gradient)
        )
        self.rest = self.input_gradient.flatten(1)[:, used:]
        parts = ["gG", "pPo", "iaA"]
        if is_first:  # one product instead of four, each of which would be too thin
            stack = zeros(2, 2, 4, used)
            starts = self.input.as_strided(stack.shape, (line, rows, (height + 1) * line, 1))
            shifted, shifted_gradients = [stack.view(16, used)], []
            parts = ["pPo", "gGiaA"]
        self.weights = Weights(
            zeros, GROUPED, parts, (outputs, channels), outputs, transposed=not is_first
        )
        matrices = self.weights.matrices.view(len(shifted), -1, len(shifted[0]))
        self.first, *self.others = matrices
        self.transposed = list(matrices.mT)
        self.sums = [self.weights.sums] if is_first else list(self.weights.sums)
        answers, gradient = zeros(2, outputs, height, width + 1, rows)
        self.answers, self.gradient = answers[:, :, :width], gradient[:, :, :width]
        self.flat_answers, self.flat_gradient = answers.flatten(1)[:, :used], gradient.flatten(1)
        n_blocks = max(1, round(used / COLUMNS))
        ends = [used // rows * k // n_blocks * rows for k in range(n_blocks + 1)]
        memory = zeros(6 * outputs * max(stop - start for start, stop in pairwise(ends)))
        self.blocks = []
        for start, stop in pairwise(ends):
            size = 2 * outputs * (stop - start)
            pixels = memory[: 2 * size].view(2, 2, outputs, -1)
            lines = memory[2 * size : 3 * size].view(2, outputs, -1)
            self.blocks.append(
                Block(
                    [(stack[..., start:stop], starts[..., start:stop])] if is_first else [],
                    [view[:, start:stop] for view in shifted],
                    [view[:, start:stop] for view in shifted_gradients],
                    pixels.flatten(0, 2),
                    Pairs(pixels, zeros(*lines.shape), lines),
                    Pairs(lines, zeros(*lines.shape[1:]), self.flat_answers[:, start:stop]),
                    self.flat_gradient[:, start:stop],
                )
            )

    def forward(self) -> None:
        """Compute `answers` from `input`."""
        for block in self.blocks:
            for stack, starts in block.copies:
                stack.copy_(starts)
            torch.mm(self.first, block.inputs[0], out=block.pixels)
            for matrix, inputs in zip(self.others, block.inputs[1:], strict=True):
                block.pixels.addmm_(matrix, inputs)
            block.lines.forward()
            block.groups.forward()
        self.flat_answers.add_(self.weights.bias)

    def backward(self) -> None:
        """Add to the parameters' gradients and compute `input_gradient`, from `gradient`."""
        self.weights.bias_sums += self.flat_gradient.sum(dim=1, keepdim=True)
        self.rest.zero_()
        # From the last block to the first, since a block's first product overwrites: it must not
        # come after what other blocks add there.
        for block in reversed(self.blocks):
            block.groups.backward(block.gradient)
            block.lines.backward(block.groups.pairs)
            for inputs, total in zip(block.inputs, self.sums, strict=True):
                total.addmm_(inputs, block.pixels.T)
            for k, total in enumerate(block.input_gradients):
                beta = 1 if k else 0
                torch.addmm(total, self.transposed[k], block.pixels, beta=beta, out=total)


class Convolution:
    """A convolution of an image or, if `doubled`, of the image doubled, with its pixels in fours.

    `input` (channels, height + 2, width + 2, rows) is surrounded by zeros; `answers` (4 or 1,
    outputs, height, width, rows) are those before the activation.
    """

    def __init__(
        self,
        zeros: Zeros,
        channels: int,
        outputs: int,
        height: int,
        width: int,
        rows: int,
        doubled: bool,
    ):
        self.input, self.input_gradient = zeros(2, channels, height + 2, width + 2, rows)
        windows = self.input.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 4, 5, 1, 2, 3)
        self.stack, self.stack_gradient = zeros(2, 9 * channels, height * width * rows)
        self.copy: Views = self.stack.view(windows.shape), windows
        parts = self.stack_gradient.view(windows.shape)
        self.adds: list[Views] = [
            (self.input_gradient[:, y : y + height, x : x + width], parts[:, y, x])
            for y, x in product(range(3), range(3))
        ]
        axis, pixels = (DOUBLED, 4) if doubled else (PLAIN, 1)
        shape = (outputs, channels)
        self.weights = Weights(zeros, axis, ["pPo", "inN"], shape, pixels * outputs)
        self.transposed = self.weights.matrices.T
        self.answers, self.gradient = zeros(2, pixels, outputs, height, width, rows)
        self.flat_answers = self.answers.view(-1, height * width * rows)
        self.flat_gradient = self.gradient.view(self.flat_answers.shape)

    def forward(self) -> None:
        """Compute `answers` from `input`."""
        self.copy[0].copy_(self.copy[1])
        weights = self.weights
        torch.mm(weights.matrices, self.stack, out=self.flat_answers)
        self.flat_answers.add_(weights.bias)

    def backward(self) -> None:
        """Add to the parameters' gradients and compute `input_gradient`, from `gradient`."""
        self.weights.bias_sums += self.flat_gradient.sum(dim=1, keepdim=True)
        self.weights.sums.addmm_(self.stack, self.flat_gradient.T)
        torch.mm(self.transposed, self.flat_gradient, out=self.stack_gradient)
        self.input_gradient.zero_()
        for total, part in self.adds:
            total.add_(part)


class Windows:
    """The last convolution, from a doubled image to one channel.

    Each pixel before the doubling gives a window of 4 x 4 pixels. `input` (4, channels, height *
    width * rows) are the answers of a `Convolution` in fours; `image` (4 * height, 4 * width, rows)
    is inside `padded`, which has one pixel more at each side.
    """

    def __init__(self, zeros: Zeros, below: Convolution):
        channels, height, width, rows = below.answers.shape[1:]
        self.input, self.input_gradient = below.answers.flatten(2), below.gradient.flatten(2)
        self.padded = zeros(4 * height + 2, 4 * width + 2, rows)
        self.image = self.padded[1:-1, 1:-1]
        self.windows = zeros(4, 16, height * width * rows)
        parts = self.windows.view(2, 2, 2, 2, 2, 2, height, width, rows)
        self.links: list[Views] = []
        for g, h in product(range(2), range(2)):
            reached = self.padded[2 * g :, 2 * h :][: 4 * height, : 4 * width]
            reached = reached.unflatten(0, (height, 2, 2)).unflatten(3, (width, 2, 2))
            self.links.append((reached.permute(1, 4, 2, 5, 0, 3, 6), parts[:, :, g, h]))
        self.weights = Weights(zeros, REACHED, ["gGaAo", "i"], (1, channels), 1)
        self.matrices = self.weights.matrices.expand(4, -1, -1)

    def forward(self) -> None:
        """Compute `image` from `input`."""
        torch.bmm(self.matrices, self.input, out=self.windows)
        self.padded.zero_()
        for total, part in self.links:
            total.add_(part)
        self.image.add_(self.weights.bias.view(()))

    def backward(self, gradient: torch.Tensor) -> None:
        """Add to the parameters' gradients and compute `input_gradient`, from that of the image."""
        self.weights.bias_sums += gradient.sum()
        self.padded.zero_()
        self.image.copy_(gradient.view(self.image.shape))
        for reached, part in self.links:
            part.copy_(reached)
        for inputs, part in zip(self.input, self.windows, strict=True):
            self.weights.sums.addmm_(inputs, part.T)
        torch.bmm(self.matrices.mT, self.windows, out=self.input_gradient)


def _between(
    before: Pooled | Convolution, after: Pooled | Convolution
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield answers and the next layer's input, and the gradients of both, part by part."""
    parts = _groups if isinstance(after, Pooled) else _padded
    answers = parts(before.answers, after.input)
    for pair, gradients in zip(answers, parts(before.gradient, after.input_gradient), strict=True):
        yield *pair, *gradients


class Passes:
    """The memory for passing up to `rows` rows through one network, forward and backward."""

    def __init__(self, network: ConvArchitecture, n_genes: int, rows: int, zeros: Zeros, loss: str):
        self.network, self.n_genes, self.rows, self.loss = network, n_genes, rows, loss
        height, width = image_shape(n_genes)
        sizes = [(height >> k, width >> k, rows) for k in range(4)]
        c = (1, *network.channels)
        encoder = [Pooled(zeros, c[k], c[k + 1], *sizes[k + 1]) for k in range(3)]
        decoder = [
            Convolution(zeros, c[3], c[4], *sizes[3], doubled=False),
            Convolution(zeros, c[4], c[5], *sizes[3], doubled=True),
            Convolution(zeros, c[5], c[6], *sizes[2], doubled=True),
        ]
        self.layers: list[Pooled | Convolution] = [*encoder, *decoder]
        self.windows = Windows(zeros, decoder[-1])
        self.weights = [layer.weights for layer in (*self.layers, self.windows)]
        self.pixels, self.clean, self.error = zeros(3, height * width, rows)
        self.entry = list(_groups(self.pixels.view(1, height, width, rows), encoder[0].input))
        #: Between each layer and the next: views of answers and input, and of their gradients.
        self.between = [list(_between(*pair)) for pair in pairwise(self.layers)]
        [(_, self.code, _, self.code_gradient)] = self.between[2]

    def load(self, own: dict[str, torch.Tensor]) -> None:
        """Take a network's parameters and set the sums of their gradients to 0."""
        for i, weights in enumerate(self.weights):
            weights.load(own[f"conv{i}.weight"], own[f"conv{i}.bias"])

    def store(self, gradients: dict[str, torch.Tensor]) -> None:
        """Write the sums of the gradients to the tensors of `gradients`, by parameter name."""
        for i, weights in enumerate(self.weights):
            weights.store(gradients[f"conv{i}.weight"], gradients[f"conv{i}.bias"])

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the code (rows, units) of inputs (rows, genes)."""
        self._fill(self.pixels, inputs)
        for part, group in self.entry:
            group.copy_(part)
        for k in range(3):
            self._forward(k)
        return self.code.flatten(0, -2)[:, : len(inputs)].T

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstruction (genes, rows) and code (rows, units) of inputs (rows, genes)."""
        code = self.encode(inputs)
        for k in range(3, 6):
            self._forward(k)
        self.windows.forward()
        self.error.view(self.windows.image.shape).copy_(self.windows.image)
        if self.network.output == "sigmoid":
            self.error.sigmoid_()
        return self.error[: self.n_genes, : len(inputs)], code

    def _forward(self, k: int) -> None:
        """Compute layer k and its activation."""
        self.layers[k].forward()
        if k == 5:
            self.layers[5].answers.relu_()
            return
        for answers, after, _, _ in self.between[k]:
            if k == 2 and self.network.code_activation == "sigmoid":
                torch.sigmoid(answers, out=after)
            else:
                torch.clamp_min(answers, 0, out=after)

    def backward(
        self, inputs: torch.Tensor, clean: torch.Tensor, slope: torch.Tensor | float, scale: float
    ) -> torch.Tensor:
        """Return the sum of the loss; add `scale` times its gradients to those of the weights.

        inputs and clean are (rows, genes); slope is d penalty / d code, which can be added to
        (rows, units).
        """
        n_rows = len(inputs)
        self.forward(inputs)
        self._fill(self.clean, clean)
        total = self._error(n_rows, scale)
        self.windows.backward(self.error)
        self._backward(5)
        self._backward(4)
        self._backward(3)
        if isinstance(slope, torch.Tensor):
            slope = slope.T.reshape(*self.code.shape[:-1], -1)
            self.code_gradient[..., :n_rows] += slope
        self._backward(2)
        self._backward(1)
        self._backward(0)
        return total

    def _backward(self, k: int) -> None:
        """Compute the gradients of the activation after layer k, and of the layer."""
        layer = self.layers[k]
        if k == 5:
            _relu_backward(layer.gradient, layer.answers, out=layer.gradient)
        for answers, after, gradient, gradient_after in self.between[k] if k < 5 else ():
            if k == 2 and self.network.code_activation == "sigmoid":
                torch.sub(after, after.square(), out=gradient)
                gradient.mul_(gradient_after)
            else:
                _relu_backward(gradient_after, answers, out=gradient)
        layer.backward()

    def _fill(self, images: torch.Tensor, rows: torch.Tensor) -> None:
        """Copy (rows, genes) to (pixels, rows), with zeros for missing rows."""
        images[: self.n_genes, : len(rows)].copy_(rows.T)
        images[:, len(rows) :].zero_()

    def _error(self, n_rows: int, scale: float) -> torch.Tensor:
        """Return the sum of the loss; replace the answers by `scale` times their gradients."""
        answers, clean = (part[: self.n_genes, :n_rows] for part in (self.error, self.clean))
        if self.loss == "bce":
            total = binary_cross_entropy(answers, clean).sum()
            # A clipped answer has no gradient.
            within = (answers > BCE_CLIP) & (answers < 1 - BCE_CLIP)
            answers.sub_(clean).mul_(within).mul_(scale)
        else:
            slope = answers - answers.square() if self.network.output == "sigmoid" else None
            total = answers.sub_(clean).square().sum()
            answers.mul_(2 * scale)
            if slope is not None:
                answers.mul_(slope)
        self.error[self.n_genes :].zero_()
        self.error[:, n_rows:].zero_()
        return total


class ConvStack(Stack):
    """K convolutional networks; an input row of `genes` numbers is padded by zeros to one image."""

    network: ConvArchitecture

    def __init__(self, network, n_genes, n_members, device="cpu", dtype=torch.float32, loss="mse"):
        super().__init__(network, n_genes, n_members, device, dtype, loss)
        self.code_units = network.code_size(n_genes)
        self._passes_of: dict[int, Passes] = {}

    def _passes(self, n_rows: int) -> Passes:
        """Return the memory for chunks of up to `n_rows` rows, made once per size."""
        rows = VECTOR * math.ceil(n_rows / VECTOR)
        if self.flat.device.type == "cpu":
            fitting = CHUNK // math.prod(image_shape(self.n_genes)) // VECTOR * VECTOR
            rows = min(rows, max(VECTOR, fitting))
        if rows not in self._passes_of:
            zeros = self.flat.new_zeros
            self._passes_of[rows] = Passes(self.network, self.n_genes, rows, zeros, self.loss)
        return self._passes_of[rows]

    def _own(self, k: int) -> dict[str, torch.Tensor]:
        """Return the parameters of member k."""
        return {name: value[k] for name, value in self.parameters.items()}

    def reconstruct(
        self, members: slice, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstructions and codes: see `Stack`."""
        passes = self._passes(inputs.shape[1])
        outputs, codes = inputs.new_empty(inputs.shape), []
        for j, k in enumerate(range(*members.indices(self.n_members))):
            passes.load(self._own(k))
            parts = inputs[j].split(passes.rows), outputs[j].split(passes.rows)
            for noisy, output in zip(*parts, strict=True):
                answers, code = passes.forward(noisy)
                output.copy_(answers.T)
                codes.append(code)
        return outputs, torch.cat(codes).view(*inputs.shape[:2], -1)

    def backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity
    ) -> torch.Tensor:
        """Return losses and store their gradients: see `Stack`."""
        passes, clean, losses = self._passes(inputs.shape[1]), targets.rows, []
        for j, k in enumerate(range(*members.indices(self.n_members))):
            passes.load(self._own(k))
            chunks = inputs[j].split(passes.rows)
            terms, slopes = sparsity.members(slice(j, j + 1)), [0.0] * len(chunks)
            loss = self.flat.new_zeros(1, dtype=torch.float64)
            if terms.uses_kl or terms.uses_l1:
                code = torch.cat([passes.encode(chunk) for chunk in chunks]).unsqueeze(0)
                penalty, [slope] = terms.penalty_and_slopes([code])
                loss += penalty
                slopes = slope[0].expand(len(clean), -1).split(passes.rows)
            for chunk in zip(chunks, clean.split(passes.rows), slopes, strict=True):
                loss += passes.backward(*chunk, 1 / clean.numel()) / clean.numel()
            passes.store({name: value[k] for name, value in self.gradients.items()})
            losses.append(loss)
        return torch.cat(losses).to(self.flat.dtype)
