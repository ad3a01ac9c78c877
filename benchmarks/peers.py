"""Peers in torch that train the same networks: one at a time, or stacked with torch.func.

Every peer trains the networks of models/training.py: the same initial weights, batch order and
noise draws (from the same named streams, without extra cost for a peer), Adam, MSE plus the KL
term, and validation after every epoch. The networks are those of models/networks.py; losses and
gradients come from torch.nn and autograd. Members must have the protocol `as-written`, one noise
factor, fresh noise draws and a constant rate; a pack has one seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from data_utils.noise import evaluation_noise, stream
from data_utils.preparation import PreparedData
from models.config import MemberConfig
from models.networks import build, initial_parameters

#: Members per vmap call: the fastest of 1, 2, 4, 11 and 44 on a CPU; on a GPU one call has all.
VMAP_CHUNK = 11


def network(member: MemberConfig, n_genes: int) -> nn.Module:
    """Build the member's network with its initial parameters, as a torch.nn module."""
    initial = initial_parameters(member.architecture, n_genes, member.seed, member.initialisation)
    return build(member.architecture, n_genes, initial)


def kl_penalty(code: torch.Tensor, rho: float) -> torch.Tensor:
    """Return the sum over the code's units of KL(rho || mean activation), eqs. 4 and 5."""
    mean = code.mean(dim=0).clamp(1e-6, 1 - 1e-6)
    return (rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))).sum()


def _tensor(values: np.ndarray) -> torch.Tensor:
    """Convert an array without a copy, so that loops share a cache; nothing writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)


class Peer:
    """Members in training.

    `epoch` trains one epoch; `parameters(k)` returns member k's parameters in layer order.
    """

    def __init__(self, members: list[MemberConfig], data: PreparedData, device: str = "cpu"):
        self.member, self.device, self.trained = members[0], device, 0
        self.n_epochs = members[0].epochs
        self.rows = _tensor(data.train).to(device)
        self.validation = _tensor(data.validation).to(device)
        self.validation_noise = evaluation_noise(
            self.member.seed, "validation", *self.validation.shape
        ).to(device)

    def epoch(self) -> list[float]:
        """Train one epoch, and return the validation MSE of each member after it."""
        for batch, clean in enumerate(self.batches()):
            normal = torch.randn(
                clean.shape, generator=self._stream("noise", batch), device=self.device
            )
            self.step(clean, normal)
        self.trained += 1
        with torch.no_grad():
            return self.validate()

    def train(self) -> list[float]:
        """Train all epochs, and return the validation MSE of each member after the last."""
        for _ in range(self.n_epochs):
            errors = self.epoch()
        return errors

    def batches(self) -> Iterator[torch.Tensor]:
        """Yield the training rows in this epoch's order, (batch size, genes) at a time."""
        order = torch.randperm(
            len(self.rows), generator=stream(self.member.seed, "order", self.trained)
        )
        for rows in order.to(self.device).split(self.member.batch_size):
            yield self.rows[rows]

    def step(self, clean: torch.Tensor, normal: torch.Tensor) -> None:
        """Do one step of Adam on clean rows (rows, genes) and N(0, 1) noise of that shape."""
        raise NotImplementedError

    def validate(self) -> list[float]:
        """Return the MSE of each member on the validation rows with their fixed noise."""
        raise NotImplementedError

    def parameters(self, k: int) -> list[torch.Tensor]:
        """Return the weights and biases of member k."""
        raise NotImplementedError

    def _stream(self, purpose: str, batch: int) -> torch.Generator:
        return stream(self.member.seed, purpose, self.trained, batch, device=self.device)


class Loop(Peer):
    """One network, trained with tensors in memory, autograd and fused Adam."""

    fused = True

    def __init__(self, members, data, device="cpu"):
        super().__init__(members, data, device)
        self.net = network(self.member, data.n_genes).to(device)
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), lr=self.member.learning_rate, fused=self.fused
        )
        self.noisy_validation = self.validation + self.member.noise_factor * self.validation_noise

    def step(self, clean, normal):
        answer, code = self.net(clean + self.member.noise_factor * normal)
        loss = F.mse_loss(answer, clean)
        if self.member.beta:
            loss = loss + self.member.beta * kl_penalty(code, self.member.rho)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def validate(self):
        return [F.mse_loss(self.net(self.noisy_validation)[0], self.validation).item()]

    def parameters(self, k):
        return list(self.net.parameters())


class LoaderLoop(Loop):
    """One network as in a tutorial, with a DataLoader that collates row by row and default Adam."""

    fused = None

    def __init__(self, members, data, device="cpu"):
        super().__init__(members, data, device)
        dataset = TensorDataset(_tensor(data.train))
        self.sampler = RandomSampler(
            dataset
        )  # as shuffle=True makes, but with a generator that can be set
        self.loader = DataLoader(dataset, self.member.batch_size, sampler=self.sampler)

    def batches(self):
        self.sampler.generator = stream(self.member.seed, "order", self.trained)
        for (clean,) in self.loader:
            yield clean.to(self.device)


class VmapPack(Peer):
    """K networks of one architecture and seed, by vmap of grad over stacked parameters."""

    def __init__(self, members, data, device="cpu"):
        super().__init__(members, data, device)
        nets = [network(member, data.n_genes) for member in members]
        self.net = network(members[0], data.n_genes).to("meta")
        stacked, _ = stack_module_state(nets)
        self.stacked = {
            name: value.detach().to(device).requires_grad_() for name, value in stacked.items()
        }
        self.optimizer = torch.optim.Adam(
            self.stacked.values(), lr=self.member.learning_rate, fused=True
        )
        columns = zip(*((m.noise_factor, m.beta, m.rho) for m in members), strict=True)
        self.terms = [torch.tensor(column, device=device) for column in columns]
        chunk = VMAP_CHUNK if device == "cpu" else None
        self.gradients = vmap(
            grad_and_value(self._loss), in_dims=(0, None, None, 0, 0, 0), chunk_size=chunk
        )
        self.errors = vmap(self._error, in_dims=(0, 0), chunk_size=chunk)

    def _loss(self, parameters, clean, normal, noise_factor, beta, rho):
        answer, code = functional_call(self.net, parameters, (clean + noise_factor * normal,))
        return F.mse_loss(answer, clean) + beta * kl_penalty(code, rho)

    def _error(self, parameters, noise_factor):
        noisy = self.validation + noise_factor * self.validation_noise
        return F.mse_loss(functional_call(self.net, parameters, (noisy,))[0], self.validation)

    def step(self, clean, normal):
        values = {name: value.detach() for name, value in self.stacked.items()}
        gradients, _ = self.gradients(values, clean, normal, *self.terms)
        for name, value in self.stacked.items():
            value.grad = gradients[name]
        self.optimizer.step()

    def validate(self):
        return self.errors(self.stacked, self.terms[0]).tolist()

    def parameters(self, k):
        return [value[k] for value in self.stacked.values()]


def dataloader_loop(member: MemberConfig, data: PreparedData, device: str = "cpu") -> Peer:
    """Return one network trained the plain way: DataLoader with shuffling, torch.optim.Adam."""
    return LoaderLoop([member], data, device)


def memory_loop(member: MemberConfig, data: PreparedData, device: str = "cpu") -> Peer:
    """Return one network trained well: tensors in memory, batches by index, fused Adam."""
    return Loop([member], data, device)


def vmap_pack(members: list[MemberConfig], data: PreparedData, device: str = "cpu") -> Peer:
    """Return members of one architecture and seed as a stack by torch.func."""
    return VmapPack(members, data, device)
