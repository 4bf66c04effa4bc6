"""From one post's text to its features and calibrated log-likelihood ratio.

`FirstStageModel.read` turns texts into fixed-size text features (`detector.text.features`); a second-stage model
refines the LLR of a few of them later. The features are all that the rest of the system ever learns about a text.
"""
