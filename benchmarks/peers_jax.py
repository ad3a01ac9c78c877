"""Packs in JAX: vmap and jit of a whole training step with Adam. Needs the extra `bench`."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.peers import Peer
from data_utils.preparation import PreparedData
from models.config import MemberConfig
from models.networks import initial_parameters

#: Value of XLA_FLAGS, set before JAX starts, for one thread within and between operations.
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def stay_on_one_core() -> None:
    """Bind this process to one core, so that JAX starts one thread. Call before JAX computes."""
    os.environ["XLA_FLAGS"] = ONE_THREAD
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class JaxPack(Peer):
    """K dense networks of one architecture and seed, with torch's noise and order (no copies)."""

    def __init__(self, members: list[MemberConfig], data: PreparedData):
        super().__init__(members, data)
        self.code_layers, self.learning_rate = (
            self.member.architecture.code_layers,
            self.member.learning_rate,
        )
        initial = [
            initial_parameters(m.architecture, data.n_genes, m.seed, m.initialisation)
            for m in members
        ]
        self.stacked = [jnp.stack([one[name].numpy() for one in initial]) for name in initial[0]]
        moments = [[jnp.zeros_like(value) for value in self.stacked] for _ in range(2)]
        self.state = (self.stacked, *moments, jnp.zeros(()))
        columns = zip(*((m.noise_factor, m.beta, m.rho) for m in members), strict=True)
        self.terms = [jnp.array(column, dtype=jnp.float32) for column in columns]
        self.validation_rows = (
            jnp.asarray(data.validation),
            jnp.asarray(self.validation_noise.numpy()),
        )
        self._step = jax.jit(self._train_step, donate_argnums=0)
        self._errors = jax.jit(jax.vmap(self._error, in_axes=(0, None, None, 0)))

    def _forward(self, parameters, x):
        codes = []
        n_hidden = len(parameters) // 2 - 1
        for i in range(n_hidden):
            x = x @ parameters[2 * i].T + parameters[2 * i + 1]
            if i in self.code_layers:
                x = jax.nn.sigmoid(x)
                codes.append(x)
            else:
                x = jax.nn.relu(x)
        return x @ parameters[-2].T + parameters[-1], codes

    def _error(self, parameters, clean, normal, noise_factor):
        return jnp.mean((self._forward(parameters, clean + noise_factor * normal)[0] - clean) ** 2)

    def _loss(self, parameters, clean, normal, noise_factor, beta, rho):
        answer, codes = self._forward(parameters, clean + noise_factor * normal)
        loss = jnp.mean((answer - clean) ** 2)
        for code in codes:
            mean = jnp.clip(code.mean(axis=0), 1e-6, 1 - 1e-6)
            loss += (
                beta
                * (rho * jnp.log(rho / mean) + (1 - rho) * jnp.log((1 - rho) / (1 - mean))).sum()
            )
        return loss

    def _train_step(self, state, clean, normal, *terms):
        values, firsts, seconds, count = state
        gradients = jax.vmap(jax.grad(self._loss), in_axes=(0, None, None, 0, 0, 0))(
            values, clean, normal, *terms
        )
        count += 1
        firsts = [0.9 * m + 0.1 * g for m, g in zip(firsts, gradients, strict=True)]
        seconds = [0.999 * v + 0.001 * g**2 for v, g in zip(seconds, gradients, strict=True)]
        rate, correction = self.learning_rate / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        moved = zip(values, firsts, seconds, strict=True)
        values = [value - rate * m / (jnp.sqrt(v) / correction + 1e-8) for value, m, v in moved]
        return values, firsts, seconds, count

    def step(self, clean: torch.Tensor, normal: torch.Tensor) -> None:
        """Do one step of Adam, and wait until it is done."""
        self.state = self._step(self.state, clean.numpy(), normal.numpy(), *self.terms)
        jax.block_until_ready(self.state)

    def validate(self) -> list[float]:
        """Return the MSE of each member on the validation rows with their fixed noise."""
        return np.asarray(
            self._errors(self.state[0], *self.validation_rows, self.terms[0])
        ).tolist()

    def parameters(self, k: int) -> list[torch.Tensor]:
        """Return the weights and biases of member k."""
        return [torch.tensor(np.asarray(value[k])) for value in self.state[0]]


def jax_pack(members: list[MemberConfig], data: PreparedData) -> Peer:
    """Return members of one dense architecture and seed as a stack in JAX, on the CPU."""
    return JaxPack(members, data)
