"""Tasks: what a fitted model can do beside sampling, as functions of its prior, encoder and decoder."""
