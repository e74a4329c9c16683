"""Image: image <-> latent.  format (what pixels mean) -> pca -> tone -> detail -> decoder (all of them, back)."""
