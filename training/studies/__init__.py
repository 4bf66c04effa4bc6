"""Studies: what the system does with hard texts, attacks, few examples and rivals, each by one command of `study`."""
