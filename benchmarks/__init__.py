"""Side-by-side measurements, each one command; what they found is in results/."""
