"""Training with the frozen encoder in the loop: no store of latents, every clip encoded when it is drawn."""
