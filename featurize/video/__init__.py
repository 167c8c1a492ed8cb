"""Reading video files exactly, or saying why not."""
