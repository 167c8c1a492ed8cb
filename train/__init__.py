"""Stage two: a feature store in, a trained predictor and its errors out. No video, no encoder."""
