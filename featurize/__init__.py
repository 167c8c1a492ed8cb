"""Stage one: episodes of video in, a feature store out. Runs without Prefect.

index -> plan -> calibrate -> encode (any slots, in any order, anywhere) -> finalise.
"""
