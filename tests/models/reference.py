"""The plain way: one network at a time in torch.nn with autograd and torch.optim, to compare the stacks with.

Written from the text of the issue and the paper's equations; it shares with the project only the random streams
(initial weights, batch order, noise), which are part of what a member is.
"""

import math

import torch
from torch import nn

from data_utils.noise import evaluation_noise, stream

HIDDEN = {
    "dense-2": (32, 32),
    "dense-4": (64, 32, 32, 64),
    "dense-6": (128, 64, 32, 32, 64, 128),
    "dense-8": (256, 128, 64, 32, 32, 64, 128, 256),
}


class DenseNet(nn.Module):
    """Fig. 2: ReLU, both layers of 32 sigmoid."""

    def __init__(self, n_genes, hidden, output, noise_input=False):
        super().__init__()
        sizes = [n_genes + noise_input, *hidden, n_genes]
        self.noise_input = noise_input
        self.layers = nn.ModuleList(
            nn.Linear(sizes[i], sizes[i + 1]) for i in range(len(sizes) - 1)
        )
        self.output = output

    def forward(self, x):
        codes = []
        for layer in self.layers[:-1]:
            x = layer(x)
            if layer.out_features == 32:
                x = torch.sigmoid(x)
                codes.append(x)
            else:
                x = torch.relu(x)
        x = self.layers[-1](x)
        return (torch.sigmoid(x) if self.output == "sigmoid" else x), codes


class ConvNet(nn.Module):
    """Fig. 3 on an image of height x width, the genes first and zeros after them."""

    def __init__(self, n_genes, height, width, output):
        super().__init__()
        channels = [1, 16, 8, 8, 8, 8, 16, 1]
        self.layers = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], 3, padding=1) for i in range(7)
        )
        self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="nearest")
        self.n_genes, self.height, self.width, self.output = n_genes, height, width, output

    def forward(self, x):
        image = torch.zeros(len(x), self.height * self.width, dtype=x.dtype)
        image[:, : self.n_genes] = x
        conv = self.layers
        h = image.view(len(x), 1, self.height, self.width)
        h = self.pool(torch.relu(conv[0](h)))
        h = self.pool(torch.relu(conv[1](h)))
        code = self.pool(torch.sigmoid(conv[2](h)))
        h = self.up(torch.relu(conv[3](code)))
        h = self.up(torch.relu(conv[4](h)))
        h = self.up(torch.relu(conv[5](h)))
        h = conv[6](h).flatten(1)[:, : self.n_genes]
        return (torch.sigmoid(h) if self.output == "sigmoid" else h), [code.flatten(1)]


def network(
    model, n_genes, output="linear", parameters=None, dtype=torch.float32, noise_input=False
):
    """The plain network called `model`, with these parameters (in the order of the layers: weight, bias)."""
    if model == "conv":
        height, width = {943: (24, 40), 200: (16, 16)}[n_genes]
        net = ConvNet(n_genes, height, width, output)
    else:
        net = DenseNet(n_genes, HIDDEN[model], output, noise_input)
    net = net.to(dtype)
    if parameters is not None:
        with torch.no_grad():
            for own, given in zip(net.parameters(), parameters.values(), strict=True):
                assert own.shape == given.shape
                own.copy_(given)
    return net


def mse(answer, clean):
    """Eq. 11: the mean over samples and genes."""
    return ((answer - clean) ** 2).sum() / clean.numel()


def penalty(codes, kind, beta, rho):
    """beta times the sum over the code's units of KL(rho || rho_hat), or the paper's L1 on the code."""
    total = 0.0
    for code in codes:
        rho_hat = (code.sum(0) / len(code)).clamp(1e-6, 1 - 1e-6)
        if kind == "kl":
            total = (
                total
                + (
                    rho * (rho / rho_hat).log() + (1 - rho) * ((1 - rho) / (1 - rho_hat)).log()
                ).sum()
            )
        else:
            total = total + code.abs().sum() / len(code)
    return beta * total


def objective(net, noisy, clean, kind="kl", beta=0.0, rho=0.05):
    """J = MSE + sparsity."""
    answer, codes = net(noisy)
    return mse(answer, clean) + penalty(codes, kind, beta, rho)


def inputs(net, clean, alpha, normal):
    """Noisy rows, alpha (rows,); a network that is told the noise factor finds it in one more column."""
    noisy = clean + alpha[:, None] * normal
    return torch.cat([noisy, alpha[:, None]], 1) if getattr(net, "noise_input", False) else noisy


def evaluate(net, clean, seed, split, factors):
    """MSE on the fixed noise of a seed; row i at the noise factor factors[i % n]."""
    alpha = torch.tensor([factors[i % len(factors)] for i in range(len(clean))])
    with torch.no_grad():
        return mse(
            net(inputs(net, clean, alpha, evaluation_noise(seed, split, *clean.shape)))[0], clean
        ).item()


def train(net, data, schedule, seed=0, learning_rate=1e-3, batch_size=256, **sparsity):
    """Train on [(noise factors, epochs), ...]; returns {(epoch, split, metric, noise factor or None): value}."""
    rows = {part: torch.tensor(getattr(data, part)) for part in ("train", "validation", "test")}
    n_rows = len(rows["train"])
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    measured, epoch = {}, 0
    for factors, epochs in schedule:
        for _ in range(epochs):
            order = torch.randperm(n_rows, generator=stream(seed, "order", epoch))
            total = 0.0
            for batch in range(math.ceil(n_rows / batch_size)):
                clean = rows["train"][order[batch * batch_size : (batch + 1) * batch_size]]
                normal = torch.randn(clean.shape, generator=stream(seed, "noise", epoch, batch))
                alpha = torch.full((len(clean),), factors[0])
                if len(factors) > 1:
                    drawn = stream(seed, "noise-factor", epoch, batch)
                    alpha = torch.tensor(factors)[
                        torch.randint(len(factors), (len(clean),), generator=drawn)
                    ]
                optimizer.zero_grad()
                loss = objective(net, inputs(net, clean, alpha, normal), clean, **sparsity)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(clean)
            epoch += 1
            one = factors[0] if len(factors) == 1 else None
            measured[epoch, "train", "loss", one] = total / n_rows
            measured[epoch, "validation", "mse", one] = evaluate(
                net, rows["validation"], seed, "validation", factors
            )
        for factor in factors:
            for split in rows:
                measured[epoch, split, "mse", factor] = evaluate(
                    net, rows[split], seed, split, [factor]
                )
        with torch.no_grad():  # the training rows as they are
            still = inputs(
                net,
                rows["train"],
                torch.full((n_rows,), factors[0]),
                torch.zeros_like(rows["train"]),
            )
            measured[epoch, "train-clean", "mse", one] = mse(net(still)[0], rows["train"]).item()
    if len(schedule) == 1:
        for factor in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
            measured[epoch, "test-across", "mse", factor] = evaluate(
                net, rows["test"], seed, "test", [factor]
            )
    return measured
