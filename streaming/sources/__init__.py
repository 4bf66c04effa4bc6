"""Where post events come from."""
