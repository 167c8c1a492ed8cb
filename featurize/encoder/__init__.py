"""The frozen encoder: a video frame in, its layer-normed tokens out.

`registry.py` is the door. To understand the rest, read in this order: `spec.py` (what an encoder is),
`catalogue.py` (which there are), `vit.py` (the network), `weights.py` and `official.py` (where its numbers
come from), `frozen.py` (how frames go through it), `load.py` (all of it put together).
"""
