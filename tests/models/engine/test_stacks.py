"""The stacks' losses and gradients are those of the plain networks, one by one."""

import math

import pytest
import torch

from models.architecture import architecture
from models.engine import conv
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack
from models.engine.sparsity import Sparsity
from models.engine.stack import Targets
from models.networks import initial_parameters
from tests.models import reference

DENSE = ["dense-2", "dense-4", "dense-6", "dense-8"]
#: Of 65 genes half the image is zeros, where the pixels that are pooled tie.
MODELS = [*((model, 60) for model in DENSE), ("conv", 65), ("conv", 200), ("conv", 943)]
KINDS = ["kl", "kl", "l1", "kl"]
BETAS = [0.0, 0.7, 0.3, 0.01]
RHOS = [0.05, 0.05, 0.05, 0.2]
ROWS = 7


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(model, n_genes, output="linear", n_members=4):
    """A float64 stack whose members all differ, biases too, and each member's parameters."""
    network = architecture(model, output)
    kind = ConvStack if model == "conv" else DenseStack
    stack = kind(network, n_genes, n_members, dtype=torch.float64)
    parameters = []
    for k in range(n_members):
        start = initial_parameters(network, n_genes, seed=k)
        own = {
            name: value.double() + 0.1 * gaussian(*value.shape, seed=i)
            for i, (name, value) in enumerate(start.items())
        }
        stack.set_member(k, own)
        parameters.append(own)
    return stack, parameters


def mixed():
    return Sparsity.of(KINDS, BETAS, RHOS, dtype=torch.float64)


def close(actual, expected, relative=1e-9):
    """Relative to the largest number of the tensor: small ones are differences of large ones."""
    assert actual.shape == expected.shape
    scale = expected.abs().max().item()
    assert (actual - expected).abs().max().item() <= relative * max(scale, 1e-12)


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
@pytest.mark.parametrize(("model", "n_genes"), MODELS)
def test_loss_and_gradients_are_autograds_of_the_plain_network(model, n_genes, output):
    stack, parameters = filled(model, n_genes, output)
    clean, inputs = gaussian(ROWS, n_genes, seed=1), gaussian(4, ROWS, n_genes, seed=2)
    losses = stack.backward(slice(0, 4), inputs, Targets(clean), mixed())
    for k, own in enumerate(parameters):
        net = reference.network(model, n_genes, output, own, torch.float64)
        loss = reference.objective(net, inputs[k], clean, KINDS[k], BETAS[k], RHOS[k])
        loss.backward()
        assert losses[k].item() == pytest.approx(loss.item(), rel=1e-12)
        for name, parameter in zip(own, net.parameters(), strict=True):
            close(stack.gradients[name][k], parameter.grad)
            assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize(("columns", "rows"), [(4096, 48), (200, 16)])
def test_conv_rows_pass_in_chunks_as_one_batch(monkeypatch, columns, rows):
    """40 rows in chunks of 48 (8 are padding) and of 16, and in products of any width."""
    monkeypatch.setattr(conv, "COLUMNS", columns)
    monkeypatch.setattr(conv, "CHUNK", rows * 256)  # 200 genes: 16 x 16 pixels
    stack, parameters = filled("conv", 200)
    clean, inputs = gaussian(40, 200, seed=1), gaussian(4, 40, 200, seed=2)
    for _ in range(2):  # nothing of a batch is left for the next one
        losses = stack.backward(slice(0, 4), inputs, Targets(clean), mixed())
        answers, codes = stack.reconstruct(slice(0, 4), inputs)
    for k, own in enumerate(parameters):
        net = reference.network("conv", 200, "linear", own, torch.float64)
        loss = reference.objective(net, inputs[k], clean, KINDS[k], BETAS[k], RHOS[k])
        loss.backward()
        assert losses[k].item() == pytest.approx(loss.item(), rel=1e-12)
        for name, parameter in zip(own, net.parameters(), strict=True):
            close(stack.gradients[name][k], parameter.grad)
        answer, code = net(inputs[k])
        close(answers[k], answer.detach(), 1e-12)
        close(codes[k], code.detach(), 1e-12)


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
@pytest.mark.parametrize(("model", "n_genes"), MODELS)
def test_reconstruction_and_code_are_the_plain_networks(model, n_genes, output):
    stack, parameters = filled(model, n_genes, output)
    inputs = gaussian(4, ROWS, n_genes, seed=3)
    answers, activations = stack.reconstruct(slice(0, 4), inputs)
    assert activations.shape == (4, ROWS, stack.code_units)
    for k, own in enumerate(parameters):
        expected, code = reference.network(model, n_genes, output, own, torch.float64)(inputs[k])
        close(answers[k], expected.detach(), 1e-12)
        close(activations[k], code.detach(), 1e-12)


@pytest.mark.parametrize(("model", "n_genes"), [("dense-4", 60), ("conv", 200)])
def test_a_block_is_its_members_of_the_whole(model, n_genes):
    stack, _ = filled(model, n_genes)
    clean, inputs = gaussian(ROWS, n_genes, seed=1), gaussian(4, ROWS, n_genes, seed=2)
    losses = stack.backward(slice(0, 4), inputs, Targets(clean), mixed())
    whole = stack.flat_gradients.clone()
    stack.flat_gradients.zero_()
    block = slice(1, 3)
    some = stack.backward(block, inputs[block], Targets(clean), mixed().members(block))
    assert torch.equal(some, losses[block])
    assert torch.equal(stack.flat_gradients[block], whole[block])
    assert (stack.flat_gradients[[0, 3]] == 0).all()
    assert torch.equal(
        stack.reconstruct(block, inputs[block])[0], stack.reconstruct(slice(0, 4), inputs)[0][block]
    )


@pytest.mark.parametrize("model", ["dense-2", "dense-4", "dense-8"])
def test_float32_is_near_float64_where_the_fit_is_good(model):
    """A tenth of the paper's best MSE: sums of squares may not cancel away the residual."""
    exact, _ = filled(model, 943, n_members=1)
    single = DenseStack(exact.network, 943, 1)
    single.flat.copy_(exact.flat)
    exact.flat.copy_(single.flat)
    inputs = gaussian(1, 64, 943, seed=1).float()
    answer, _ = exact.reconstruct(slice(0, 1), inputs.double())
    clean = (answer[0] + 0.2 * gaussian(64, 943, seed=2)).float()
    free = [
        Sparsity.of(["kl"], [0.0], [0.05], dtype=dtype) for dtype in (torch.float32, torch.float64)
    ]
    loss = single.backward(slice(0, 1), inputs, Targets(clean), free[0])
    expected = exact.backward(slice(0, 1), inputs.double(), Targets(clean.double()), free[1])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in exact.gradients.items():
        close(single.gradients[name].double(), gradient, 2e-3)


@pytest.mark.parametrize(("model", "n_genes"), [("dense-2", 60), ("conv", 200)])
def test_parameters_inputs_and_targets_are_left_alone(model, n_genes):
    stack, parameters = filled(model, n_genes)
    clean, inputs = gaussian(ROWS, n_genes, seed=1), gaussian(4, ROWS, n_genes, seed=2)
    kept = clean.clone(), inputs.clone()
    stack.backward(slice(0, 4), inputs, Targets(clean), mixed())
    stack.reconstruct(slice(0, 4), inputs)
    assert torch.equal(clean, kept[0])
    assert torch.equal(inputs, kept[1])
    for k, own in enumerate(parameters):
        for name, value in stack.member(k).items():
            assert torch.equal(value, own[name])


def test_a_member_is_a_copy():
    stack, parameters = filled("dense-2", 60)
    copied = stack.member(2)
    stack.flat.zero_()
    assert all(torch.equal(copied[name], value) for name, value in parameters[2].items())


@pytest.mark.parametrize("model", [*DENSE, "conv"])
def test_flat_parameters_hold_each_number_once_at_aligned_offsets(model):
    kind = ConvStack if model == "conv" else DenseStack
    stack = kind(architecture(model), 61, 2)
    for i, name in enumerate(stack.parameters):
        stack.parameters[name].fill_(i + 1)
    sizes = [math.prod(shape) for shape in stack.network.parameter_shapes(61).values()]
    for i, size in enumerate(sizes):
        assert (stack.flat == i + 1).sum(dim=1).tolist() == [size, size]
    assert all(value.storage_offset() % 16 == 0 for value in stack.parameters.values())
    assert stack.flat.shape[1] % 16 == 0


@pytest.mark.parametrize("n_genes", [200, 943])
def test_padding_never_enters_the_conv_loss(n_genes):
    """With all parameters 0 except the last bias b, every pixel is b; only genes are averaged."""
    stack = ConvStack(architecture("conv"), n_genes, 1, dtype=torch.float64)
    stack.parameters["conv6.bias"].fill_(0.75)
    clean, inputs = gaussian(ROWS, n_genes), gaussian(1, ROWS, n_genes, seed=1)
    free = Sparsity.of(["kl"], [0.0], [0.05], dtype=torch.float64)
    loss = stack.backward(slice(0, 1), inputs, Targets(clean), free)
    assert loss.item() == pytest.approx((0.75 - clean).square().mean().item(), rel=1e-12)
    assert stack.gradients["conv6.bias"].item() == pytest.approx(
        2 * (0.75 - clean).mean().item(), rel=1e-9
    )
    answer, activation = stack.reconstruct(slice(0, 1), inputs)
    assert answer.shape == (1, ROWS, n_genes)
    assert (activation == 0.5).all()  # sigmoid(0)


def test_a_code_at_one_half_starts_as_a_linear_code_at_zero():
    """Input 0 gives codes of exactly 1/2, and those an answer of 0."""
    stack = DenseStack(architecture("dense-2"), 60, 1)
    stack.set_member(0, initial_parameters(stack.network, 60, 0))
    answer, activation = stack.reconstruct(slice(0, 1), torch.zeros(1, 3, 60))
    torch.testing.assert_close(activation, torch.full((1, 3, 64), 0.5), rtol=0, atol=1e-6)
    torch.testing.assert_close(answer, torch.zeros(1, 3, 60), rtol=0, atol=1e-5)
