"""Planning with a trained predictor in the sample data's world: act, look, plan again."""
