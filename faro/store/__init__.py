"""What lies on disk: models, constraints as data, runs. The only reader and writer of a run folder."""
