"""Linear Diffusion."""
