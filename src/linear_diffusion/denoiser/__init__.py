"""Denoiser: what is learned of latents, given a prompt.  moments -> gaussian, components -> law -> prior."""
