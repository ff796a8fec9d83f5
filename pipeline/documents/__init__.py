"""Documents: files of text become passages, each with its page, its headings and its offsets."""
