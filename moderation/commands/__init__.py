"""Subcommands of `swarmlight` that belong to the feed."""
