"""Packaging of tfcnf; the tested set of versions is in constraints.txt."""

from setuptools import find_packages, setup

setup(
    name="tfcnf",
    version="0.1.0",
    description="Conditional continuous normalizing flows in TensorFlow",
    packages=find_packages(include=["tfcnf", "tfcnf.*"]),
    package_data={"tfcnf.reporting": ["*.css", "*.json"]},
    python_requires=">=3.11",
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tensorflow-probability>=0.25,<0.26",
        "tensorflow-datasets>=4.9.9,<5",
        "keras>=3.15,<3.16",
        "absl-py>=2.3,<3",
        "tf-keras>=2.21,<2.22",  # tensorflow-probability imports it
        "importlib-resources>=6,<8",  # tensorflow-datasets imports it
        "ml-collections>=1.1,<2",
        "numpy>=2,<3",
        "scikit-learn>=1.7,<2",
        "matplotlib>=3.10,<4",
        "tensorboard>=2.20,<2.22",
    ],
    extras_require={
        "dev": [
            "pytest>=9,<10",
            "pytest-xdist>=3.8,<4",
            "ruff>=0.17,<0.18",
            "mypy>=2.4,<3",
            "hypothesis>=6.170,<7",
            "scipy>=1.16,<2",
            "playwright>=1.60,<2",  # drives an installed Chromium, if there is one
        ],
        # peers of launch/benchmark.py; any of them may be absent
        "bench": [
            "torch>=2.13,<2.14",
            "torchdiffeq>=0.2.5,<0.3",
            "jax>=0.10,<0.11",
            "diffrax>=0.7,<0.8",
            "scipy>=1.16,<2",
        ],
        # TensorBoard's profiler tab, for the traces of launch/train.py --profile
        "profile": ["xprof>=2.24,<3"],
    },
)
