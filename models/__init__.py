"""The networks and the references: training, saving and applying them.

from models import DenoisingAutoencoder      # a scikit-learn estimator; loads torch
"""


def __getattr__(name: str):
    if name == "DenoisingAutoencoder":
        from models.estimator import DenoisingAutoencoder

        return DenoisingAutoencoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
