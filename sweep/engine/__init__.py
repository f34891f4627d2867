"""The engine: any Hydra task, run as the trials of an Optuna study."""
