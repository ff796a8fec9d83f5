"""The parts of build_demo_data.py: what Python says of itself, asked about and written as rows."""
