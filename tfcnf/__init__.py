"""Conditional continuous normalizing flows in TensorFlow (InfoCNF, CCNF, CNF)."""

from tfcnf.models.ccnf import CCNF
from tfcnf.models.cnf import CNF
from tfcnf.models.infocnf import InfoCNF

__version__ = "0.2.0.dev0"
__all__ = ["CCNF", "CNF", "InfoCNF", "__version__"]
