"""Measures: the slow questions, asked of a model once per example and stored.

protocols.py says what a model must offer, models.py finds models, chat_format.py turns a
conversation into token ids exactly as the trainer will, and the other files each ask one question.
Nothing is imported here, so that `import scorers.measures` costs no torch.
"""
