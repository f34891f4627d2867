"""The door that Hydra's plugin discovery insists on."""
