"""Synthetic sample data in DROID's raw format: a robot arm that moves, grasps and carries objects."""

from featurize.demo_data.generate import DemoDataError, write_demo_data

__all__ = ["DemoDataError", "write_demo_data"]
