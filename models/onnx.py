"""A model as one ONNX file, which onnxruntime runs without this program.

Inputs: `expression` (samples, genes) float32, in the units of the training data (counts, TPM or RPKM where the model's
transform is log2p1, else log values), genes as the file's metadata list them; and `noise_factor` (samples, 1) float32,
which a model that is not told the noise does not have. Output: `denoised`, in the same units. The graph is built by
hand: the transform, the scaling (in float64, as here), the denoiser, and both undone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_utils.errors import InputError
from data_utils.formats.text import replacing
from models.architecture import ConvArchitecture, image_shape
from models.denoisers.linear import PCADenoiser, WienerDenoiser
from models.denoisers.mixture import Mixture
from models.denoisers.network import NetworkDenoiser
from models.folder import Model

#: Version of the operators; onnxruntime of 2023 and later knows it.
OPSET = 17


def check_onnx() -> None:
    """Raise InputError where the package onnx is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise InputError("--onnx: needs the package onnx: pip install 'dae-study[onnx]'") from None


class Graph:
    """Nodes and constants of a graph; a call adds a node and returns the name of what it answers."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def __call__(self, operator: str, *inputs: str, **attributes) -> str:
        """Add a node; inputs that are "" are left out."""
        from onnx import helper

        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: np.ndarray | float | list, dtype: type = np.float32) -> str:
        """A constant array."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value, dtype=dtype), name)
        )
        return name

    def cast(self, value: str, dtype: type) -> str:
        """The value as float32 or float64."""
        from onnx import TensorProto

        kinds = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}
        return self("Cast", value, to=kinds[dtype])


def write_onnx(model: Model, path: Path) -> None:
    """Write the file. Raises InputError for a kind of model that has no graph."""
    from onnx import TensorProto, checker, helper

    adder = _ADDERS.get(model.denoiser.kind)
    if adder is None:
        raise InputError(
            f"--onnx {path}: a model of kind {model.denoiser.kind} cannot be written as ONNX"
        )
    graph, told = Graph(), _is_told(model)
    z = _scaled(graph, model)
    output = _unscaled(graph, model, adder(graph, model.denoiser, z, "noise_factor"))
    graph.nodes[-1].output[0] = "denoised"
    n_genes = len(model.genes)
    inputs = [helper.make_tensor_value_info("expression", TensorProto.FLOAT, ["samples", n_genes])]
    inputs += [
        helper.make_tensor_value_info("noise_factor", TensorProto.FLOAT, ["samples", 1])
    ] * told
    outputs = [helper.make_tensor_value_info("denoised", TensorProto.FLOAT, ["samples", n_genes])]
    assert output == graph.nodes[-1].name
    made = helper.make_graph(graph.nodes, "denoiser", inputs, outputs, graph.constants)
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    whole.doc_string = model.name
    helper.set_model_props(
        whole, {"genes": json.dumps(model.genes["ensembl_id"].tolist()), "name": model.name}
    )
    checker.check_model(whole)
    with replacing(path) as temporary:
        temporary.write_bytes(whole.SerializeToString())


def _is_told(model: Model) -> bool:
    """Whether the answer depends on the noise factor."""
    denoiser = model.denoiser
    if isinstance(denoiser, NetworkDenoiser):
        return denoiser.network.noise_input
    return not isinstance(denoiser, PCADenoiser) or denoiser.with_gain


def _scaled(graph: Graph, model: Model) -> str:
    """z-scores, float32."""
    x = graph.cast("expression", np.float64)
    if model.transform == "log2p1":
        x = graph("Log", graph("Add", x, graph.constant(1, np.float64)))
        x = graph("Div", x, graph.constant(np.log(2), np.float64))
        x = graph.cast(graph.cast(x, np.float32), np.float64)  # logs are kept as float32 here, too
    x = graph("Sub", x, graph.constant(model.scaling.centre, np.float64))
    return graph.cast(graph("Div", x, graph.constant(model.scaling.scale, np.float64)), np.float32)


def _unscaled(graph: Graph, model: Model, z: str) -> str:
    """Back to the units of the input, float32."""
    x = graph("Mul", graph.cast(z, np.float64), graph.constant(model.scaling.scale, np.float64))
    x = graph("Add", x, graph.constant(model.scaling.centre, np.float64))
    if model.transform == "log2p1":
        x = graph("Exp", graph("Mul", x, graph.constant(np.log(2), np.float64)))
        x = graph(
            "Max", graph("Sub", x, graph.constant(1, np.float64)), graph.constant(0, np.float64)
        )
    return graph.cast(x, np.float32)


def add_wiener(graph: Graph, denoiser: WienerDenoiser, z: str, noise_factor: str) -> str:
    """Add the nodes of a Wiener filter: z (samples, genes) and noise_factor (samples, 1) in, z out."""
    distance = graph("Abs", graph("Sub", noise_factor, graph.constant(denoiser.grid[None])))
    nearest = graph("ArgMin", distance, axis=1, keepdims=0)
    spectrum = graph("Gather", graph.constant(denoiser.spectra[denoiser.choice]), nearest, axis=0)
    code = graph(
        "MatMul",
        graph("Sub", z, graph.constant(denoiser.mean)),
        graph.constant(denoiser.components),
    )
    code = graph("Mul", code, _gain(graph, spectrum, noise_factor))
    back = graph("MatMul", code, graph.constant(denoiser.components.T))
    return graph("Add", back, graph.constant(denoiser.mean))


def add_pca(graph: Graph, denoiser: PCADenoiser, z: str, noise_factor: str) -> str:
    """Add the nodes of a projection, as `add_wiener` does."""
    code = graph(
        "MatMul",
        graph("Sub", z, graph.constant(denoiser.mean)),
        graph.constant(denoiser.components.T),
    )
    if denoiser.with_gain:
        code = graph(
            "Mul", code, _gain(graph, graph.constant(denoiser.variances[None]), noise_factor)
        )
    back = graph("MatMul", code, graph.constant(denoiser.components))
    return graph("Add", back, graph.constant(denoiser.mean))


def _gain(graph: Graph, variance: str, noise_factor: str) -> str:
    """variance / (variance + noise_factor^2); a tiny number instead of 0 / 0."""
    tiny = graph.constant(np.finfo(np.float32).tiny)
    variance = graph("Max", variance, tiny)
    return graph("Div", variance, graph("Add", variance, graph("Mul", noise_factor, noise_factor)))


def add_network(graph: Graph, denoiser: NetworkDenoiser, z: str, noise_factor: str) -> str:
    """Add the nodes of a dense or convolutional network, as `add_wiener` does."""
    add = _add_conv if isinstance(denoiser.network, ConvArchitecture) else _add_dense
    output = add(graph, denoiser, z, noise_factor)
    return graph("Sigmoid", output) if denoiser.network.output == "sigmoid" else output


def _add_dense(graph: Graph, denoiser: NetworkDenoiser, z: str, noise_factor: str) -> str:
    network, parameters = denoiser.network, denoiser.parameters
    h = graph("Concat", z, noise_factor, axis=1) if network.noise_input else z
    sigmoid = network.code_layers if network.code_activation == "sigmoid" else ()
    for i in range(len(network.hidden) + 1):
        weight, bias = (
            graph.constant(parameters[f"layer{i}.{part}"]) for part in ("weight", "bias")
        )
        h = graph("Gemm", h, weight, bias, transB=1)
        if i < len(network.hidden):
            h = graph("Sigmoid" if i in sigmoid else "Relu", h)
    return h


def add_mixture(graph: Graph, denoiser: Mixture, z: str, noise_factor: str) -> str:
    """Add the nodes of the posterior mean, in float64: densities are differences of large numbers."""
    p = {name: np.asarray(value, dtype=np.float64) for name, value in denoiser.arrays().items()}
    means = p["means"] @ p["components"]  # (groups, genes)
    n_groups = len(means)

    def const(value: np.ndarray | float) -> str:
        return graph.constant(value, np.float64)

    def total(value: str) -> str:
        return graph("ReduceSum", value, graph.constant([1], np.int64), keepdims=1)

    noise = graph.cast(noise_factor, np.float64)
    noise = graph("Mul", noise, noise)  # (samples, 1)
    y = graph("MatMul", graph.cast(z, np.float64), const(p["components"]))
    variances = [
        graph("Add", noise, const(scale * p["variances"][None])) for scale in p["class_scales"]
    ]
    densities = []
    for v, weight in zip(variances, p["class_weights"], strict=True):
        scaled = graph("Div", y, v)
        cross = graph("MatMul", scaled, const(-2 * means.T))
        squares = graph("Add", cross, graph("MatMul", graph("Reciprocal", v), const(means.T**2)))
        squares = graph(
            "Add", squares, graph("Add", total(graph("Mul", y, scaled)), total(graph("Log", v)))
        )
        prior = const(np.log(p["group_weights"] * weight)[None])
        densities.append(graph("Add", graph("Mul", squares, const(-0.5)), prior))
    probability = graph(
        "Softmax", graph("Concat", *densities, axis=1), axis=1
    )  # (samples, classes x groups)
    guess = const(np.zeros((1, means.shape[1])))
    for c, v in enumerate(variances):
        ends = (
            graph.constant([value], np.int64) for value in (c * n_groups, (c + 1) * n_groups, 1)
        )
        of_class = graph("Slice", probability, *ends)
        left = graph("Div", noise, v)
        kept = graph("Mul", graph("Mul", total(of_class), y), graph("Sub", const(1.0), left))
        guess = graph(
            "Add",
            guess,
            graph("Add", kept, graph("Mul", graph("MatMul", of_class, const(means)), left)),
        )
    return graph.cast(graph("MatMul", guess, const(p["components"].T)), np.float32)


def _add_conv(graph: Graph, denoiser: NetworkDenoiser, z: str, noise_factor: str) -> str:
    network, n_genes = denoiser.network, denoiser.n_genes
    height, width = image_shape(n_genes)

    def conv(h: str, i: int) -> str:
        parts = (
            graph.constant(denoiser.parameters[f"conv{i}.{part}"]) for part in ("weight", "bias")
        )
        return graph("Conv", h, *parts, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def pool(h: str) -> str:
        return graph("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2])

    def doubled(h: str) -> str:
        scales = graph.constant([1, 1, 2, 2])
        how = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
        return graph("Resize", h, "", scales, **how)

    padded = graph("Pad", z, graph.constant([0, 0, 0, height * width - n_genes], np.int64))
    h = graph("Reshape", padded, graph.constant([-1, 1, height, width], np.int64))
    h = pool(graph("Relu", conv(h, 0)))
    h = pool(graph("Relu", conv(h, 1)))
    h = graph("Sigmoid" if network.code_activation == "sigmoid" else "Relu", pool(conv(h, 2)))
    h = graph("Relu", conv(h, 3))
    h = graph("Relu", conv(doubled(h), 4))
    h = graph("Relu", conv(doubled(h), 5))
    flat = graph("Reshape", conv(doubled(h), 6), graph.constant([-1, height * width], np.int64))
    ends = (graph.constant([value], np.int64) for value in (0, n_genes, 1))
    return graph("Slice", flat, *ends)


#: What adds a kind's nodes: (graph, denoiser, z, noise_factor) -> z.
_ADDERS: dict[str, Callable] = {
    "wiener": add_wiener,
    "pca": add_pca,
    "mixture": add_mixture,
    "network": add_network,
}
