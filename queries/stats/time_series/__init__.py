"""Trajectories as time series: their noise, their events, and which of two moves first."""
