"""The statistics of trajectories: bands, noise, change points, smoothing."""
