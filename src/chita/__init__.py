"""Chita: the network of one Kubernetes cluster over many clouds."""

__version__ = "0.1.0"
