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
    noisy = clean + alpha[:, None] * normal
    return torch.cat([noisy, alpha[:, None]], 1) if net.architecture.noise_input else noisy


def evaluate(net, clean, seed, split, factors):
    """MSE on the fixed noise of a seed; row i at the noise factor factors[i % n]."""
    alpha = torch.tensor([factors[i % len(factors)] for i in range(len(clean))])
    with torch.no_grad():
        return mse(
            net(inputs(net, clean, alpha, evaluation_noise(seed, split, *clean.shape)))[0], clean
        ).item()


def train(net, data, schedule, seed=0, learning_rate=1e-3, batch_size=256, **sparsity):
    """Train on [(noise factors, epochs), ...].

    Returns {(epoch, split, metric, noise factor or None): value}.
    """
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
