"""The public names of `tfcnf`, which imports them when the first is asked for."""

from tfcnf import libraries  # noqa: F401 - the first import
from tfcnf.data.catalog import get as load
from tfcnf.data.columns import Column
from tfcnf.data.series import (
    Series,
    SeriesSource,
    SeriesSplit,
    make_series,
    pad_series,
)
from tfcnf.data.series_frames import series_from_frame
from tfcnf.data.series_units import SeriesUnits
from tfcnf.data.source import DataSource, Density, Split
from tfcnf.data.table_files import read_table
from tfcnf.data.table_source import TableSource
from tfcnf.data.tables import from_frame
from tfcnf.flows.base import Chain, FlowLayer
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.columns import Columns
from tfcnf.flows.dequantize import Dequantize
from tfcnf.flows.multiscale import MultiscaleFlow, build_multiscale
from tfcnf.flows.whitening import Whitening
from tfcnf.labels.base import Label
from tfcnf.labels.binary import Binary
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real
from tfcnf.models.build import build_flow
from tfcnf.models.ccnf import CCNF
from tfcnf.models.cnf import CNF
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.models.finite import DivergenceError
from tfcnf.models.infocnf import InfoCNF
from tfcnf.models.latent_ode import LatentODE
from tfcnf.ode.adjoint import Adjoint
from tfcnf.ode.autonomous import AutonomousField, Perceptron
from tfcnf.ode.cost import Cost
from tfcnf.ode.costs.jacobian_norm import JacobianNorm
from tfcnf.ode.costs.kinetic_energy import KineticEnergy
from tfcnf.ode.discrete import Checkpoint, Store
from tfcnf.ode.dynamics import ConvDynamics, DenseDynamics, Dynamics
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.oscillators import Oscillators
from tfcnf.ode.solver import RungeKutta, Solver
from tfcnf.ode.solvers.bosh3 import Bosh3
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.solvers.reference import Reference
from tfcnf.ode.solvers.tfp import StockTFP
from tfcnf.ode.solvers.tsit5 import Tsit5
from tfcnf.ode.status import SolverError
from tfcnf.ode.tableau import Tableau
from tfcnf.ode.trace import Exact, Hutchinson, Trace
from tfcnf.tolerances.adapted import AdaptedTolerance
from tfcnf.tolerances.fixed import FixedTolerance
from tfcnf.tolerances.policy import TolerancePolicy
from tfcnf.tolerances.sampled import LearnedTolerance, RandomTolerance
from tfcnf.tolerances.scheduled import ScheduledTolerance
from tfcnf.types import Control, FlowOutput, On

__all__ = [
    "CCNF",
    "CNF",
    "AdaptedTolerance",
    "Adjoint",
    "AutonomousField",
    "Binary",
    "Bosh3",
    "CNFLayer",
    "Categorical",
    "Chain",
    "Checkpoint",
    "Column",
    "Columns",
    "Control",
    "ConvDynamics",
    "Cost",
    "DataSource",
    "DenseDynamics",
    "Density",
    "Dequantize",
    "DivergenceError",
    "Dopri5",
    "Dynamics",
    "Encoder",
    "Exact",
    "FixedTolerance",
    "FlowLayer",
    "FlowOutput",
    "Gradient",
    "Hutchinson",
    "InfoCNF",
    "JacobianNorm",
    "KineticEnergy",
    "Label",
    "LatentODE",
    "LearnedTolerance",
    "MultiscaleFlow",
    "On",
    "Oscillators",
    "Perceptron",
    "RandomTolerance",
    "Real",
    "Reference",
    "RungeKutta",
    "ScheduledTolerance",
    "Series",
    "SeriesSource",
    "SeriesSplit",
    "SeriesUnits",
    "Solver",
    "SolverError",
    "Split",
    "StockTFP",
    "Store",
    "TableSource",
    "Tableau",
    "TolerancePolicy",
    "Trace",
    "Tsit5",
    "Whitening",
    "build_flow",
    "build_multiscale",
    "from_frame",
    "load",
    "make_series",
    "pad_series",
    "read_table",
    "series_from_frame",
]
