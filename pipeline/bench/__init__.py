"""What every stage reaches on this machine, beside the limit that the machine itself sets."""
