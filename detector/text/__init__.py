"""What one post says: normalised text, style, hashed n-grams, and their calibrated LLR.

`FirstStageModel.read` turns texts into fixed-size readings (`detector.text.features`); an expert refines the
LLR of a few of them later. A reading is all that the rest of the system ever learns about a text.
"""
