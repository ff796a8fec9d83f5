"""What a selection is worth believing: its lengths, its overlaps, how easily it moves, who agrees.

A selection is a claim. Beside each of them stand the facts by which a reader can doubt it, one file
for each kind; pipeline/selection/evidence.py gathers them.
"""
