"""What a training run is made of; `sweep.train` puts the parts together."""
