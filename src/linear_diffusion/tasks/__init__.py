"""What a fitted model can answer about images, in closed form."""
