import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.flows.cnf import CNFLayer
