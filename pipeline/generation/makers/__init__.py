"""The makers of rows, one file each: what it asks, how a reply is read, what a row becomes."""
