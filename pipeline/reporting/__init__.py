"""Reports: the funnel, what changed, score histograms, and what-ifs."""
