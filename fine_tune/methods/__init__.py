"""Methods of training, one file each: what they change of a training, and of nothing else.

Each is a block of `train.methods` in a recipe. What would not be trained as it was meant is refused
by the recipe's check: two losses at once, a method that needs all weights where LoRA is trained,
one that needs rows apart where they are packed, scores that the export does not have.
"""
