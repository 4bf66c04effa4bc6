"""Offline work: data-set adapters, training, calibration, evaluation, audits and model cards."""
