"""How good a predictor is, from the store alone: no encoder, no video, no robot."""
