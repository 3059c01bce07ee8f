"""Methods, networks, losses, metrics and the trainer. Knows storage and torch; neither Ray nor MLflow."""

__version__ = "0.1.0"
