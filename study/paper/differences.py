"""Every difference between the paper's text, its scripts, and what this program does."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import pandas as pd

_SAME = "the same"
_OPEN = "not given"


@dataclass(frozen=True)
class Difference:
    """One item of the method: in the text, the scripts and both protocols, with our reason."""

    item: str
    text: str
    scripts: str
    as_written: str
    as_published: str
    why: str


DIFFERENCES = (
    Difference(
        "data",
        "GTEx RNA-Seq, 2,921 samples of 943 genes",
        "the same matrix, each sample quantile-normalised to a microarray reference",
        "a simulated cohort of that size, or --data",
        _SAME,
        "the paper's matrix cannot be shipped; files are not quantile-normalised",
    ),
    Difference(
        "split",
        "80 % training and validation, 20 % test",
        "measured on the training rows",
        "70 % training, 10 validation, 20 test; anew for each seed",
        "the same split, so fewer training rows than the scripts had",
        "both protocols are measured on the same test rows",
    ),
    Difference(
        "scaling of the genes",
        _OPEN,
        "mean 0 and variance 1 over all samples, the test samples too",
        "by mean and standard deviation of the training rows",
        "over all samples",
        "nothing of the test rows may reach the training",
    ),
    Difference(
        "noise sets",
        "ten noisy training and test sets, drawn once",
        "drawn once",
        "drawn once for each noise factor and seed",
        _SAME,
        "--noise-draws fresh draws new noise in every epoch: data augmentation",
    ),
    Difference(
        "test noise",
        "a set for each noise factor",
        "none: measured on clean rows",
        "one draw for each seed, times the noise factor",
        _SAME,
        "all networks of a seed meet the same noise",
    ),
    Difference(
        "networks for the noise factors",
        "not said to be one network",
        "one network, carried from noise 0.0 to 1.0 without a reset",
        "a fresh network for each noise factor",
        "one network carried along",
        "in a carried network, noise and training length cannot be told apart",
    ),
    Difference(
        "dense layers",
        "two code layers of 32 units",
        "one code layer of 32 units",
        "two",
        "one",
        "each as its source has it",
    ),
    Difference(
        "activation of the code",
        _OPEN,
        "ReLU",
        "sigmoid",
        "ReLU",
        "the KL term needs mean activations between 0 and 1",
    ),
    Difference(
        "output",
        _OPEN,
        "sigmoid: no answer below 0 or above 1",
        "linear",
        "sigmoid",
        "scaled values lie between about -8 and 14",
    ),
    Difference(
        "loss",
        "MSE plus beta times KL; beta is not given",
        "MSE; binary cross-entropy for conv; in one, L1 on the code",
        "MSE; with beta 0.01 at three noise factors",
        "MSE; binary cross-entropy for conv; the script with L1 is not run",
        "C6 compares with and without; L1 against KL is the grid sparsity",
    ),
    Difference(
        "rho and units of the KL term",
        "about 0.05, over the hidden units",
        "no KL term",
        "0.05, over the code units",
        "no KL term",
        "KL needs means between 0 and 1; hidden units are ReLU",
    ),
    Difference(
        "smaller code",
        "below 32 units, as future work",
        "not trained",
        "dense-4 with half the units, 16, at three noise factors",
        "not trained",
        "C6 is about a smaller code, too",
    ),
    Difference(
        "optimiser",
        _OPEN,
        "Keras' Adadelta, rate 1, batches of 256 (conv: 127)",
        "Adam, with rate, batch and schedule of each model",
        "the same Adadelta and batches",
        "validation MSE chose rate, batch and schedule as written",
    ),
    Difference(
        "schedule of the learning rate",
        _OPEN,
        "constant",
        "rises over 5 % of the steps, then a cosine to 0",
        "constant",
        "chosen together with rate, batch and epochs",
    ),
    Difference(
        "length of training",
        _OPEN,
        "10 epochs per noise factor, 50 in one script",
        "until validation MSE has levelled off",
        "10; for 2 layers also 50",
        "the steps of Fig. 6 are those of 50 epochs",
    ),
    Difference(
        "epochs on fewer samples",
        "one data set only",
        "one data set only",
        "more, in inverse proportion to the samples",
        "10 and 50 on any data",
        "a network then has as many updates as on 2,921 samples",
    ),
    Difference(
        "initial weights",
        _OPEN,
        "Glorot-uniform, biases 0",
        "Glorot-uniform; after a code 4 times larger, its mean cancelled",
        "Glorot-uniform, biases 0",
        "a sigmoid code trains slower from plain Glorot weights",
    ),
    Difference(
        "conv images",
        "one image of 24 x 24",
        "all numbers as one stream, cut into images of 24 x 24",
        "one image of 24 x 40 for each sample",
        "each part's rows as one stream, cut likewise",
        "943 genes exceed 576 pixels; one stream would mix training and test",
    ),
    Difference(
        "conv input in training", "noisy", "clean", "noisy", "clean", "each as its source has it"
    ),
    Difference(
        "what is measured",
        "MSE on noisy test rows (eq. 11)",
        "MSE on clean training rows",
        "both; judged on noisy test rows",
        "both; judged on clean training rows",
        "the two measures answer different questions",
    ),
    Difference(
        "division by n",
        "MSE is a mean over samples and genes",
        "Figs. 4 and 10: divided again by a number of samples",
        "not divided",
        "not divided; Fig. 10 is also shown divided",
        "published numbers are multiplied by n again",
    ),
    Difference(
        "rows out of step",
        "not mentioned",
        "two scripts shuffle noisy and clean rows separately",
        "not repeated",
        "not repeated",
        "input and target then do not belong together",
    ),
    Difference(
        "number of samples",
        "an appendix of the draft has ten numbers of samples",
        "the matrix is cut to a tenth once and never restored",
        "not in this protocol: --grid samples",
        "not repeated",
        "its curve is the division by n",
    ),
    Difference(
        "replicates",
        "one network of each kind",
        "one",
        "5, each with own split, weights, batches and noise",
        "5",
        "one network has no interval",
    ),
    Difference(
        "number of models",
        "five deep models announced, four listed",
        "four, and conv",
        "four, and conv",
        "four, and conv",
        "the fifth is unknown",
    ),
    Difference(
        "library",
        _OPEN,
        "Keras on TensorFlow",
        "PyTorch, with many networks stacked",
        _SAME,
        "speed; tests compare networks, losses and Adadelta with plain versions",
    ),
)

#: Headings of the columns by field.
COLUMNS = dict(
    zip(
        [field.name for field in fields(Difference)],
        ["item", "the paper's text", "its scripts", "as-written", "as-published", "why"],
        strict=True,
    )
)


def differences_table() -> pd.DataFrame:
    """Return DIFFERENCES as a table, one row per item, with the names of COLUMNS."""
    return pd.DataFrame([astuple(its) for its in DIFFERENCES], columns=[*COLUMNS.values()])


def differences_markdown() -> str:
    """Return the table in Markdown, as it is in docs/paper.md."""
    rows = [[*COLUMNS.values()], ["---"] * len(COLUMNS), *map(astuple, DIFFERENCES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
