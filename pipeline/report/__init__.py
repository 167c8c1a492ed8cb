"""One page and one picture about a run: what it learnt, on what, and how that looks."""
