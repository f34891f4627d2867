"""Hyperparameter sweeps and experiment tracking on Hydra, Optuna, Keras and MLflow."""

from sweep.engine.trial import Trial, TrialPruned, current_trial

__all__ = ["Trial", "TrialPruned", "current_trial"]
__version__ = "0.1.0"
