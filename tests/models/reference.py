"""Train one network at a time with autograd and torch.optim, as a reference for the engine.

The objective, the noise and the loop are written from the paper's equations. They share with the
project only the modules of models/networks.py and the random streams (initial weights, batch order,
noise), which are part of what a member is.
"""

import math

import torch

from data_utils.noise import evaluation_noise, stream
from models.architecture import architecture
from models.networks import build


def network(
    model, n_genes, output="linear", parameters=None, dtype=torch.float32, noise_input=False
):
    """Build the plain network called `model` with copies of these parameters."""
    parameters = {name: value.to(dtype, copy=True) for name, value in parameters.items()}
    return build(architecture(model, output, noise_input=noise_input), n_genes, parameters)


def mse(answer, clean):
    """Eq. 11: the mean over samples and genes."""
    return ((answer - clean) ** 2).sum() / clean.numel()


def penalty(code, kind, beta, rho):
    """Return beta times the sum over the code's units of KL(rho || rho_hat), or the paper's L1."""
    if kind == "l1":
        return beta * code.abs().sum() / len(code)
    rho_hat = (code.sum(0) / len(code)).clamp(1e-6, 1 - 1e-6)
    divergence = rho * (rho / rho_hat).log() + (1 - rho) * ((1 - rho) / (1 - rho_hat)).log()
    return beta * divergence.sum()


def objective(net, noisy, clean, kind="kl", beta=0.0, rho=0.05):
    """J = MSE + sparsity."""
    answer, code = net(noisy)
    return mse(answer, clean) + penalty(code, kind, beta, rho)


def inputs(net, clean, alpha, normal):
    """Noisy rows for alpha (rows,), with alpha as the last column for a network that reads it."""
    return with_alpha(net, clean + alpha[:, None] * normal, alpha)


def with_alpha(net, noisy, alpha):
    """Noisy rows, with alpha as the last column for a network that reads it."""
    return torch.cat([noisy, alpha[:, None]], 1) if net.architecture.noise_input else noisy


def sample_errors(net, clean, seed, factor):
    """The squared error of each test row, a mean over genes, at a noise factor."""
    alpha = torch.full((len(clean),), factor, dtype=clean.dtype)
    normal = evaluation_noise(seed, "test", *clean.shape).to(clean.dtype)
    with torch.no_grad():
        return ((net(inputs(net, clean, alpha, normal))[0] - clean) ** 2).mean(dim=1)


def evaluate(net, clean, seed, split, factors):
    """MSE on the fixed noise of a seed; row i at the noise factor factors[i % n]."""
    alpha = torch.tensor([factors[i % len(factors)] for i in range(len(clean))], dtype=clean.dtype)
    normal = evaluation_noise(seed, split, *clean.shape).to(clean.dtype)
    with torch.no_grad():
        return mse(net(inputs(net, clean, alpha, normal))[0], clean).item()


def cosine(step, phases):
    """The share of the learning rate at a step: 5 % of a phase's steps rise, the others fall."""
    shares = []
    for n_steps in phases:
        rising = math.ceil(n_steps / 20)
        shares += [(i + 1) / rising for i in range(rising)]
        falling = n_steps - rising
        shares += [(1 + math.cos(math.pi * i / falling)) / 2 for i in range(falling)]
    return [*shares, 0.0][step]


class Noise:
    """The noisy training rows of a seed: `sets` drawn once for each factor, or fresh draws."""

    def __init__(self, clean, schedule, seed, draws):
        self.clean, self.seed, self.draws = clean, seed, draws
        self.sets = {}
        for factor in {factor for factors, _ in schedule for factor in factors}:
            drawn = torch.randn(clean.shape, generator=stream(seed, f"noise-set-{factor!r}"))
            self.sets[factor] = clean + factor * drawn.to(clean.dtype)

    def batch(self, rows, factors, epoch, batch):
        """Noisy rows of a batch, and the noise factor of each."""
        choice = torch.zeros(len(rows), dtype=torch.long)
        if len(factors) > 1:
            drawn = stream(self.seed, "noise-factor", epoch, batch)
            choice = torch.randint(len(factors), (len(rows),), generator=drawn)
        alpha = torch.tensor(factors, dtype=self.clean.dtype)[choice]
        if self.draws == "once":
            chosen = [self.sets[factors[c]][row] for c, row in zip(choice, rows, strict=True)]
            return torch.stack(chosen), alpha
        clean, generator = self.clean[rows], stream(self.seed, "noise", epoch, batch)
        normal = torch.randn(clean.shape, generator=generator).to(clean.dtype)
        return clean + alpha[:, None] * normal, alpha

    def error(self, net, factor):
        """MSE on the training rows at a noise factor."""
        if self.draws == "fresh":
            return evaluate(net, self.clean, self.seed, "train", [factor])
        alpha = torch.full((len(self.clean),), factor, dtype=self.clean.dtype)
        with torch.no_grad():
            return mse(net(with_alpha(net, self.sets[factor], alpha))[0], self.clean).item()


def train(
    net,
    data,
    schedule,
    seed=0,
    learning_rate=1e-3,
    batch_size=256,
    draws="once",
    rates="constant",
    **sparsity,
):
    """Train on [(noise factors, epochs), ...], in the precision of the network's parameters.

    Returns {(epoch, split, metric, noise factor or None): value}.
    """
    dtype = next(net.parameters()).dtype
    parts = ("train", "validation", "test")
    rows = {part: torch.tensor(getattr(data, part), dtype=dtype) for part in parts}
    n_rows, noise = len(rows["train"]), Noise(rows["train"], schedule, seed, draws)
    n_batches = math.ceil(n_rows / batch_size)
    steps = [n_batches * epochs for _, epochs in schedule]
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    shares = {"constant": lambda step: 1.0, "cosine": lambda step: cosine(step, steps)}
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, shares[rates])
    measured, epoch = {}, 0
    for factors, epochs in schedule:
        for _ in range(epochs):
            order = torch.randperm(n_rows, generator=stream(seed, "order", epoch))
            total = 0.0
            for batch in range(n_batches):
                chosen = order[batch * batch_size : (batch + 1) * batch_size]
                clean = rows["train"][chosen]
                noisy, alpha = noise.batch(chosen, factors, epoch, batch)
                optimizer.zero_grad()
                loss = objective(net, with_alpha(net, noisy, alpha), clean, **sparsity)
                loss.backward()
                optimizer.step()
                scheduler.step()
                total += loss.item() * len(clean)
            epoch += 1
            one = factors[0] if len(factors) == 1 else None
            measured[epoch, "train", "loss", one] = total / n_rows
            measured[epoch, "validation", "mse", one] = evaluate(
                net, rows["validation"], seed, "validation", factors
            )
        for factor in factors:
            measured[epoch, "train", "mse", factor] = noise.error(net, factor)
            for split in ("validation", "test"):
                measured[epoch, split, "mse", factor] = evaluate(
                    net, rows[split], seed, split, [factor]
                )
        with torch.no_grad():  # the training rows as they are
            alpha = torch.full((n_rows,), factors[0], dtype=dtype)
            still = with_alpha(net, rows["train"], alpha)
            measured[epoch, "train-clean", "mse", one] = mse(net(still)[0], rows["train"]).item()
    if len(schedule) == 1:
        for factor in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
            measured[epoch, "test-across", "mse", factor] = evaluate(
                net, rows["test"], seed, "test", [factor]
            )
    return measured
