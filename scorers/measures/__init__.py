"""Measures: the slow questions, asked of a model once per example and stored.

models/ says what a model must offer, finds it and loads it; endpoint/ asks one on a server;
reading/ turns a conversation into token ids exactly as the trainer will, and reads them; training/
has the questions that only a training answers. The files beside them each ask one question.
Nothing is imported here, so that `import scorers.measures` costs no torch.
"""
