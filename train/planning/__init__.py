"""Choosing actions by what the predictor says they lead to."""
