"""The networks of Figs. 2 and 3, counted by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_utils.errors import InputError
from models.architecture import architecture, image_shape, n_parameters

FIG_2 = {
    "dense-2": [943, 32, 32, 943],
    "dense-4": [943, 64, 32, 32, 64, 943],
    "dense-6": [943, 128, 64, 32, 32, 64, 128, 943],
    "dense-8": [943, 256, 128, 64, 32, 32, 64, 128, 256, 943],
}
# weights of the layers, then biases
COUNTS = {
    "dense-2": 943 * 32 + 32 * 32 + 32 * 943 + (32 + 32 + 943),
    "dense-4": 2 * (943 * 64 + 64 * 32) + 32 * 32 + (64 + 32 + 32 + 64 + 943),
    "dense-6": 2 * (943 * 128 + 128 * 64 + 64 * 32) + 32 * 32 + (2 * (128 + 64 + 32) + 943),
    "dense-8": 2 * (943 * 256 + 256 * 128 + 128 * 64 + 64 * 32)
    + 32 * 32
    + (2 * (256 + 128 + 64 + 32) + 943),
}


@pytest.mark.parametrize("model", FIG_2)
def test_dense_widths_are_those_of_fig_2(model):
    widths = FIG_2[model]
    network = architecture(model)
    assert network.layer_shapes(943) == list(pairwise(widths))
    assert network.bottleneck == 32
    assert [network.hidden[i] for i in network.code_layers] == [32, 32]
    assert network.output == "linear"


@pytest.mark.parametrize("model", FIG_2)
def test_dense_parameters_counted_by_hand(model):
    assert n_parameters(architecture(model), 943) == COUNTS[model]


def test_counts_as_numbers():
    assert [n_parameters(architecture(model), 943) for model in (*FIG_2, "conv")] == [
        62_383,
        126_959,
        264_303,
        571_759,
        4_385,
    ]


def test_dense_parameter_shapes_are_those_of_linear_layers():
    shapes = architecture("dense-4").parameter_shapes(60)
    assert list(shapes) == [f"layer{i}.{part}" for i in range(5) for part in ("weight", "bias")]
    assert shapes["layer0.weight"] == (64, 60)
    assert shapes["layer1.weight"] == (32, 64)
    assert shapes["layer4.weight"] == (60, 64)
    assert shapes["layer4.bias"] == (60,)


def test_widths_by_name():
    network = architecture("dense-64x16x64", "sigmoid")
    assert network.hidden == (64, 16, 64)
    assert (network.bottleneck, network.code_layers, network.output) == (16, (1,), "sigmoid")
    assert n_parameters(network, 100) == 2 * (100 * 64 + 64 * 16) + 64 + 16 + 64 + 100


def test_conv_is_fig_3():
    shapes = architecture("conv").parameter_shapes(943)
    weights = [shape for name, shape in shapes.items() if name.endswith("weight")]
    assert weights == [
        (16, 1, 3, 3),
        (8, 16, 3, 3),
        (8, 8, 3, 3),
        (8, 8, 3, 3),
        (8, 8, 3, 3),
        (16, 8, 3, 3),
        (1, 16, 3, 3),
    ]
    assert [shape for name, shape in shapes.items() if name.endswith("bias")] == [
        (w[0],) for w in weights
    ]
    by_hand = 9 * (16 + 16 * 8 + 8 * 8 * 3 + 8 * 16 + 16) + (16 + 8 * 4 + 16 + 1)
    assert n_parameters(architecture("conv"), 943) == by_hand == 4385
    assert architecture("conv").parameter_shapes(200) == shapes


def test_dense_flops_by_hand():
    # Forward, gradient of weights, gradient of inputs: 2 each per weight. The first layer has no
    # input gradient.
    first, middle, last = 60 * 32, 32 * 32, 32 * 60
    assert architecture("dense-2").flops_per_sample(60) == 4 * first + 6 * middle + 6 * last


def test_conv_flops_by_hand():
    full = 24 * 40
    products = full * (9 * 16 + 9 * 16)  # the first and the last layer
    products += (
        full // 4 * (9 * 16 * 8 + 9 * 8 * 16)
        + full // 16 * (9 * 8 * 8) * 2
        + full // 64 * 9 * 8 * 8
    )
    assert architecture("conv").flops_per_sample(943) == 2 * 3 * 2 * products


def test_deeper_networks_are_more_work():
    flops = [architecture(model).flops_per_sample(943) for model in FIG_2]
    assert flops == sorted(flops)


@pytest.mark.parametrize(
    "name",
    [
        "dense",
        "dense-",
        "dense-x",
        "dense-0",
        "dense-64x",
        "dense-64x0x64",
        "dense--2",
        "Dense-2",
        "conv-2",
        "lstm",
        "",
    ],
)
def test_wrong_names_are_input_errors(name):
    with pytest.raises(InputError, match="unknown: use dense-2"):
        architecture(name)


@pytest.mark.parametrize("model", ["dense-2", "conv"])
def test_unknown_output_is_an_input_error(model):
    with pytest.raises(InputError, match="linear, sigmoid"):
        architecture(model, "softmax")


def test_943_genes_are_one_image_of_24_by_40():
    assert image_shape(943) == (24, 40)
    assert 24 * 40 - 943 == 17


@pytest.mark.parametrize(
    ("n_genes", "shape"), [(1, (8, 8)), (64, (8, 8)), (65, (8, 16)), (128, (8, 16))]
)
def test_small_images(n_genes, shape):
    assert image_shape(n_genes) == shape


@given(st.integers(1, 30_000))
def test_image_is_the_smallest_that_pools_three_times(n_genes):
    height, width = image_shape(n_genes)
    assert height % 8 == 0
    assert width % 8 == 0
    assert height <= width <= 2 * height
    assert height * width >= n_genes
    smaller = [
        h * w
        for h in range(8, height * width // 8 + 1, 8)
        for w in range(h, 2 * h + 1, 8)
        if n_genes <= h * w < height * width
    ]
    assert not smaller
