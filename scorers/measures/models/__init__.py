"""Models that are loaded here: finding, loading, devices and protocols."""
